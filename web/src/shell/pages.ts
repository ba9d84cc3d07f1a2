import type { IconName } from '../design/design.ts'

export interface PageLink {
  readonly to: '/' | '/live' | '/events' | '/dead-letters' | '/subscriptions' | '/filter-lab'
  readonly name: string
  readonly icon: IconName
  /** Pressed after `g`. */
  readonly key: string
  /** True where a phone's bar has no room for it: it stands under More there. */
  readonly further?: true
}

/** The pages of the navigation, in its order. */
export const pages: readonly PageLink[] = [
  { to: '/', name: 'Overview', icon: 'overview', key: 'o' },
  { to: '/live', name: 'Live', icon: 'live', key: 'l' },
  { to: '/events', name: 'Events', icon: 'events', key: 'e' },
  { to: '/dead-letters', name: 'Dead letters', icon: 'dead', key: 'd' },
  { to: '/subscriptions', name: 'Subscriptions', icon: 'listen', key: 's', further: true },
  { to: '/filter-lab', name: 'Filter lab', icon: 'lab', key: 'f', further: true },
]
