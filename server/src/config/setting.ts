import { type Kind, wholeNumber } from './setting-kinds.ts'

/** One setting of the server: how it is called everywhere, what it may be, and the sentence that explains it. */
export interface Setting<T = unknown> {
  /** Name in the environment and in `.env`. The key of the table is its name in the config file. */
  readonly name: string
  readonly kind: Kind<T>
  /** Absent if there is none; `defaultText` then says what happens without. */
  readonly default?: T
  readonly defaultText?: string
  readonly unit?: string
  readonly help: string
  /** Never printed; `NAME_FILE` names a file that holds it. */
  readonly secret?: true
  /** Name on the command line, without dashes. */
  readonly flag?: string
  /** Chapter of the documentation. */
  readonly chapter: Chapter
}

/** Chapters of the documentation, in the order in which they are printed. */
export const chapters = [
  'Server',
  'Access',
  'Storage',
  'Intake',
  'Processing',
  'Delivery',
  'Names',
  'Retention',
] as const
export type Chapter = (typeof chapters)[number]

/** A setting that always has a value. */
export interface WithDefault<T> extends Setting<T> {
  readonly default: T
}

/** Keeps the type of the value; a setting with a default always has one. */
export function setting<T>(one: WithDefault<T>): WithDefault<T>
export function setting<T>(one: Setting<T>): Setting<T>
export function setting<T>(one: Setting<T>): Setting<T> {
  return one
}

/** A whole number within bounds. */
export const count = (max: number, min = 0) => wholeNumber({ min, max })
