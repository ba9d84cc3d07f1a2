import { z } from 'zod'

/** Entries that each list of a rules file has at most; a look at a name takes the same time whatever their number. */
const entriesMax = 10_000
const charactersMax = 1_020

const wordSchema = z.string().trim().min(1, 'is empty').max(255, 'is longer than 255 characters')
const listOf = (word: z.ZodType<string>) =>
  z
    .array(word)
    .max(entriesMax, `has more than ${entriesMax.toLocaleString('en')} entries`)
    .default([])
const lengthSchema = z
  .int('must be a whole number')
  .min(1, 'must be at least 1')
  .max(charactersMax, `must be at most ${charactersMax}`)

/** What a team's file of rules says: JSON, every member may be left out, others are refused. */
const rulesFileSchema = z.strictObject({
  /** Names that nobody can have, beside the built-in ones; what looks like one of four letters or more is refused too. */
  reserved: listOf(wordSchema),
  /** Names that no list refuses; inside of them an offensive part is none. */
  allowed: listOf(wordSchema),
  /** Words as in offensive-words.ts, beside the built-in ones: `word` alone, `*word*` inside of others too. */
  offensive: listOf(wordSchema.regex(/^\*?[^*]+\*?$/, 'may have a star only as its first or last character')),
  /** Characters that a name has at least and at most. */
  length: z.strictObject({ min: lengthSchema.optional(), max: lengthSchema.optional() }).default({}),
  /** Lists of the file that take the place of the built-in ones; of `reserved` also of the product's own addresses. */
  replace: z.array(z.enum(['reserved', 'offensive'])).default([]),
})
export type RulesFile = z.infer<typeof rulesFileSchema>

/** No rules of a team's own. */
export const noRulesFile: RulesFile = rulesFileSchema.parse({})

/** A file of rules that cannot be used; the message has a line for everything that is wrong in it. */
export class RulesFault extends Error {
  override name = 'RulesFault'
  constructor(problems: readonly string[]) {
    super(problems.join('\n  '))
  }
}

/** Reads the text of a file of rules. Throws RulesFault. */
export function parseRulesFile(text: string): RulesFile {
  let content: unknown
  try {
    // Editors of Windows put a mark in front.
    content = JSON.parse(text.replace(/^\ufeff/, ''))
  } catch (error) {
    throw new RulesFault([`it is no JSON: ${error instanceof Error ? error.message : String(error)}`])
  }
  const read = rulesFileSchema.safeParse(content)
  if (read.success) return read.data
  throw new RulesFault(read.error.issues.slice(0, problemsMax).map(sentenceOf))
}

const problemsMax = 10

function sentenceOf({ path, message }: z.core.$ZodIssue): string {
  const place = path.reduce<string>(
    (before, part) =>
      typeof part === 'number' ? `${before}[${part}]` : `${before}${before && '.'}${String(part)}`,
    '',
  )
  return place === '' ? message : `${place}: ${message}`
}
