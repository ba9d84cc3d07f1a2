import { lazy, type ReactElement, Suspense, useState } from 'react'
import type { ButtonProps } from './button.tsx'
import type { IconName } from './icon.tsx'

export type MenuEntry =
  | {
      readonly kind: 'action'
      readonly label: string
      readonly icon: IconName
      readonly keys?: string
      readonly act: () => void
    }
  | {
      readonly kind: 'choice'
      readonly label: string
      readonly value: string
      readonly options: readonly { readonly value: string; readonly label: string; readonly icon: IconName }[]
      readonly choose: (value: string) => void
    }
  | { readonly kind: 'note'; readonly label: string; readonly detail: string }

export interface MenuProps {
  /** Makes the button; it is given what the menu needs of it. */
  readonly trigger: (props: Partial<ButtonProps>) => ReactElement
  readonly groups: readonly (readonly MenuEntry[])[]
}

const load = () => import('./menu-content.tsx')
const MenuContent = lazy(async () => ({ default: (await load()).MenuContent }))

/**
 * A button that opens a list of actions and choices, and leaves the page behind it usable. What a menu needs to
 * place itself and to follow the keys is a fifth of the page's script, so it comes when somebody reaches for it.
 */
export function Menu({ trigger, groups }: MenuProps) {
  const [wanted, setWanted] = useState(false)
  const closed = trigger({
    'aria-haspopup': 'menu',
    'aria-expanded': false,
    onPointerEnter: () => void load(),
    onFocus: () => void load(),
    // Without a server it stays closed: that would be no reason to take the page away.
    onClick: () =>
      void load().then(
        () => setWanted(true),
        () => {},
      ),
  })
  if (!wanted) return closed
  return (
    <Suspense fallback={closed}>
      <MenuContent trigger={trigger} groups={groups} />
    </Suspense>
  )
}
