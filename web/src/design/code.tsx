import { useEffect, useState } from 'react'
import { Button } from './button.tsx'
import { classNames } from './class-names.ts'

/** Copies `text` to the clipboard; false where the browser allows none (an insecure address that is not loopback). */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}

export interface CopyButtonProps {
  readonly text: string
  /** Completes its name: "Copy event id". */
  readonly what: string
  /** Shows the name as words beside the icon. */
  readonly worded?: boolean
  readonly className?: string
}

/** A button that copies, and says whether it could. */
export function CopyButton({ text, what, worded = false, className }: CopyButtonProps) {
  const [outcome, setOutcome] = useState<'copied' | 'refused' | null>(null)
  useEffect(() => {
    if (outcome === null) return
    const timer = setTimeout(() => setOutcome(null), 2000)
    return () => clearTimeout(timer)
  }, [outcome])
  const copy = async () => setOutcome((await copied(text)) ? 'copied' : 'refused')
  const icon = outcome === 'copied' ? 'check' : outcome === 'refused' ? 'alert' : 'copy'
  return (
    <>
      <Button
        look="quiet"
        icon={icon}
        iconOnly={!worded && outcome !== 'refused'}
        onClick={copy}
        title={`Copy ${what}`}
        {...(className === undefined ? {} : { className })}
      >
        {outcome === 'refused' ? 'Select by hand' : `Copy ${what}`}
      </Button>
      <span role="status" className="sr-only">
        {outcome === 'copied'
          ? 'Copied'
          : outcome === 'refused'
            ? 'The browser refused: select and copy by hand'
            : ''}
      </span>
    </>
  )
}

/** Code or data as it is, with a button that copies it. `label` names it to screen readers. */
export function Code({
  text,
  label,
  wrap = false,
  tall = false,
}: {
  text: string
  label: string
  wrap?: boolean
  tall?: boolean
}) {
  return (
    <div className="relative rounded-md border border-hairline bg-sunken">
      <div className="absolute top-1 right-1 rounded-md bg-sunken">
        <CopyButton text={text} what={label} />
      </div>
      <section
        // biome-ignore lint/a11y/noNoninteractiveTabindex: long code scrolls, and whoever has no mouse needs to reach it.
        tabIndex={0}
        aria-label={label}
        className={classNames(
          'overflow-auto py-3 pr-12 pl-3.5 font-mono text-sm leading-5',
          wrap ? 'wrap-anywhere whitespace-pre-wrap' : 'whitespace-pre',
          tall ? 'max-h-[32rem]' : 'max-h-72',
        )}
      >
        <pre className="font-mono [white-space:inherit]">
          <code>{text}</code>
        </pre>
      </section>
    </div>
  )
}

/** An id or another short text in one line, cut in the middle of nothing: it wraps, and can be copied. */
export function CopyText({ text, what }: { text: string; what: string }) {
  return (
    <span className="inline-flex max-w-full items-center gap-1 align-middle">
      <code className="min-w-0 font-mono text-sm break-all">{text}</code>
      <CopyButton text={text} what={what} className="-my-1.5" />
    </span>
  )
}
