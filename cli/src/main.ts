#!/usr/bin/env node
import { pulse } from './pulse.ts'

await pulse(process, process.argv.slice(2))
