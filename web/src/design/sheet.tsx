import { type ReactNode, useEffect, useId, useRef } from 'react'
import { Button } from './button.tsx'
import { classNames } from './class-names.ts'

export interface SheetProps {
  readonly title: ReactNode
  readonly onClose: () => void
  readonly children: ReactNode
  /** Stays visible below the content, for the action. */
  readonly footer?: ReactNode
  /** `sheet` slides in at the side and fills a phone's screen; `box` stands in the middle. */
  readonly shape?: 'sheet' | 'box'
}

/**
 * A modal beside or above the page. It is the browser's own dialog: focus stays inside, Escape closes it, and
 * focus returns to where it was. It is open for as long as it is rendered.
 */
export function Sheet({ title, onClose, children, footer, shape = 'sheet' }: SheetProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  useEffect(() => {
    const element = dialog.current
    const before = document.activeElement
    if (element && !element.open) element.showModal()
    // The dialog focuses its first control, the cross; a field that is there to be written in comes first.
    element?.querySelector<HTMLElement>('[data-focus]')?.focus()
    return () => {
      element?.close()
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the keyboard's way to close; the click is for the backdrop.
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      className={classNames('border border-hairline bg-surface p-0 text-ink shadow-over', shape)}
      onCancel={(cancel) => {
        cancel.preventDefault()
        onClose()
      }}
      onClick={(click) => {
        if (click.target === dialog.current) onClose()
      }}
    >
      <div className={classNames('flex flex-col', shape === 'sheet' ? 'h-full' : 'max-h-[76vh]')}>
        <header className="flex items-center justify-between gap-4 border-b border-hairline px-5 py-3">
          <h2 id={titleId} className="min-w-0 text-lg font-semibold">
            {title}
          </h2>
          <Button look="quiet" icon="cross" iconOnly onClick={onClose}>
            Close
          </Button>
        </header>
        <section
          className="min-h-0 flex-1 overflow-y-auto px-5 py-4"
          aria-labelledby={titleId}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: the content scrolls, and whoever has no mouse needs to reach it.
          tabIndex={0}
        >
          {children}
        </section>
        {footer && <footer className="border-t border-hairline px-5 py-3">{footer}</footer>}
      </div>
    </dialog>
  )
}
