import { useEffect, useRef } from 'react'

/** What keys do, by what is pressed: `?`, `/`, ` `, or two in a row, `g o`. */
export type Shortcuts = Readonly<Record<string, () => void>>

const sequenceMsMax = 1000

const takesText = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))

// Space presses a button and scrolls a focused region: it is ours only where it would do nothing else.
const takesSpace = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target !== document.body && target.tagName !== 'MAIN'

/** Lets single keys act on the page while `enabled`; never while somebody types or a dialog is open. */
export function useShortcuts(shortcuts: Shortcuts, enabled: boolean): void {
  const current = useRef(shortcuts)
  current.current = shortcuts
  useEffect(() => {
    if (!enabled) return
    let first = ''
    let firstAtMs = 0
    const press = (pressed: KeyboardEvent) => {
      if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.defaultPrevented) return
      if (takesText(pressed.target) || document.querySelector('dialog[open], [role="menu"]')) return
      if (pressed.key === ' ' && takesSpace(pressed.target)) return
      const recent = performance.now() - firstAtMs < sequenceMsMax
      const act =
        (recent ? current.current[`${first} ${pressed.key}`] : undefined) ?? current.current[pressed.key]
      first = pressed.key
      firstAtMs = performance.now()
      if (!act) return
      pressed.preventDefault()
      act()
    }
    window.addEventListener('keydown', press)
    return () => window.removeEventListener('keydown', press)
  }, [enabled])
}

/** Moves the focus to the next (+1) or the previous (-1) row of the page's list. */
export function moveRow(by: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLElement>('[data-row]')]
  const held = links.indexOf(document.activeElement as HTMLElement)
  const next = held < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, held + by))
  links[next]?.focus()
}
