import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// A third of the time of a start would go into compiling the same files anew. Not in the shared temporary folder, where
// others could plant code; where this one cannot be written, Node goes on without.
enableCompileCache(join(homedir(), '.cache', 'pulse'))
const { run } = await import('./program.ts')

process.exitCode = await run(process.argv.slice(2))
