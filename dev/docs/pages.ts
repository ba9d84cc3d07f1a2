import { documentation } from '@pulse/server/documentation'
import { limitsPage } from './limits.ts'

/** A page of the documentation that is printed from the tables that the product works by. */
export interface PrintedPage {
  /** Relative to the clone. */
  readonly path: string
  readonly text: () => string
}

/** Every printed page. */
export const printedPages: readonly PrintedPage[] = [
  { path: 'docs/operating/configuration.md', text: documentation },
  { path: 'docs/limits.md', text: limitsPage },
]
