/**
 * What a filter asks of an event, in one form that all the others compile to: the EventBridge pattern, the
 * expression for people and the simple form of `/filters`.
 *
 * A path names members from the top of the event, `['properties', 'amount']`. Where it meets an array it stands for
 * every element, so a path has any number of values, and none if a member is missing. A test is always asked of
 * one value that is no object and no array.
 *
 * - `some`: at least one value of the path passes the test. False where there is no value.
 * - `none`: no value of the path passes it. True where there is no value. It is what `not` makes of `some`.
 * - `within`: one object at the path passes the whole tree below, whose paths begin there. In an array of objects that
 *   is one and the same element, as in event-ruler's array consistency; elsewhere it is only a longer path.
 */
export type Tree =
  | { readonly kind: 'all' | 'any'; readonly of: readonly Tree[] }
  | { readonly kind: 'not'; readonly of: Tree }
  | { readonly kind: 'some' | 'none'; readonly path: Path; readonly test: Test }
  | { readonly kind: 'within'; readonly path: Path; readonly of: Tree }

/** Names of members, the outermost first; never empty, except that of a tree which speaks of the event itself. */
export type Path = readonly string[]

export type Scalar = string | number | boolean | null

/**
 * One question about one value. Strings are compared by code unit, numbers as doubles, and a value of another
 * type never passes (`"1"` is not `1`), except `other` and `exists`, which ask whatever the type. A list of values is
 * never empty, and a range holds at least one number.
 */
export type Test =
  /** There is a value; null is one. */
  | { readonly kind: 'exists' }
  | { readonly kind: 'equals'; readonly values: readonly Scalar[] }
  | { readonly kind: 'equals-ignore-case'; readonly values: readonly string[] }
  | { readonly kind: 'prefix' | 'suffix'; readonly values: readonly string[]; readonly ignoreCase: boolean }
  /** `*` stands for any characters, also none; `\*` and `\\` for themselves. */
  | { readonly kind: 'wildcard'; readonly values: readonly string[] }
  /** An open end is infinite and not included. */
  | { readonly kind: 'range'; readonly low: Bound; readonly high: Bound }
  /** An address of IPv4 or IPv6 in one of these blocks, written `10.0.0.0/8`. */
  | { readonly kind: 'cidr'; readonly blocks: readonly string[] }
  /** The value does not pass the test: EventBridge's `anything-but`, which wants a value to be there. */
  | { readonly kind: 'other'; readonly than: Test }

export interface Bound {
  readonly value: number
  readonly included: boolean
}

/** What one filter may be made of; more is refused with what was too much. */
export const filterLimits = {
  /** Tests in one filter. */
  testsMax: 256,
  /** Values in one test. */
  valuesMax: 1_000,
  valueCharsMax: 256,
  pathDepthMax: 16,
  treeDepthMax: 16,
  /** Characters of the JSON or of the expression. */
  charsMax: 65_536,
  /** Clauses after `or` was brought outside. */
  clausesMax: 64,
  /** Values of `wildcard` tests in one filter. They cannot be looked up, only tried; one star at an end is a prefix or suffix. */
  wildcardsMax: 8,
} as const
