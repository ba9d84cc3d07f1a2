#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Half of the time of a short command would go into compiling it anew. Not in the shared temporary folder, where
// others could plant code; where this one cannot be written, Node goes on without.
enableCompileCache(join(homedir(), '.cache', 'pulse'))
const { pulse } = await import('./pulse.ts')

await pulse(process, process.argv.slice(2))
