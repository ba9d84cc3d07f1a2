import { readFile } from 'node:fs/promises'
import type { Condition } from '@pulse/client'
import type { Command } from 'commander'
import { exitCodes } from './exit-code.ts'
import { CommandError } from './failure.ts'
import { list, notNegative } from './option-values.ts'
import { unreadable } from './unreadable.ts'

/** The ways besides an expression to say what a filter lets through. */
export interface ConditionOptions {
  readonly pattern?: string
  readonly types?: string[]
  readonly tiers?: string[]
  readonly minAmount?: number
}

/** Adds the options that `readCondition` reads. */
export function withConditionOptions(command: Command): Command {
  return command
    .option('--pattern <file|json>', 'an EventBridge pattern in the place of an expression')
    .option('--types <list>', 'only these event types, in the place of an expression', list)
    .option('--tiers <list>', 'with --types: only these values of properties.user_tier', list)
    .option(
      '--min-amount <number>',
      'with --types: the least properties.amount; no amount counts as 0',
      notNegative,
    )
}

/** What the command line says that a filter lets through, in exactly one way. Throws CommandError. */
export async function readCondition(
  expression: string | undefined,
  { pattern, types, tiers, minAmount }: ConditionOptions,
): Promise<Condition> {
  const next = 'write an expression such as \'event_type = "purchase"\', or --pattern, or --types'
  if (types === undefined && (tiers !== undefined || minAmount !== undefined))
    throw new CommandError(exitCodes.usage, '--tiers and --min-amount go with --types', next)
  const ways = [expression, pattern, types].filter((way) => way !== undefined).length
  if (ways !== 1)
    throw new CommandError(exitCodes.usage, ways === 0 ? 'What is the filter?' : 'Say the filter once', next)
  if (expression !== undefined) return { expression }
  if (pattern !== undefined) return { pattern: await readPattern(pattern) }
  return {
    event_types: types ?? [],
    ...(tiers && { user_tiers: tiers }),
    ...(minAmount !== undefined && { min_amount: minAmount }),
  }
}

async function readPattern(text: string): Promise<Record<string, unknown>> {
  const isFile = !text.trimStart().startsWith('{')
  const json = isFile ? await readText(text) : text
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(exitCodes.usage, `${isFile ? text : '--pattern'} is not JSON: ${why}`)
  }
  throw new CommandError(exitCodes.usage, `${isFile ? text : '--pattern'} is not a JSON object`)
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw unreadable(file, error)
  }
}
