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

/** A button that copies, and says whether it could. `what` completes its name: "Copy event id". */
export function CopyButton({
  text,
  what,
  iconOnly = true,
}: {
  text: string
  what: string
  iconOnly?: boolean
}) {
  const [outcome, setOutcome] = useState<'copied' | 'refused' | null>(null)
  useEffect(() => {
    if (outcome === null) return
    const timer = setTimeout(() => setOutcome(null), 2000)
    return () => clearTimeout(timer)
  }, [outcome])
  const copy = async () => setOutcome((await copied(text)) ? 'copied' : 'refused')
  const said =
    outcome === 'copied'
      ? 'Copied'
      : outcome === 'refused'
        ? 'The browser refused: select and copy by hand'
        : ''
  return (
    <>
      <Button
        look="quiet"
        icon={outcome === 'copied' ? 'check' : outcome === 'refused' ? 'alert' : 'copy'}
        iconOnly={iconOnly && outcome !== 'refused'}
        onClick={copy}
        title={`Copy ${what}`}
      >
        {outcome === 'refused'
          ? 'Select by hand'
          : iconOnly
            ? `Copy ${what}`
            : outcome === 'copied'
              ? 'Copied'
              : 'Copy'}
        {!iconOnly && outcome === null && <span className="sr-only"> {what}</span>}
      </Button>
      <span role="status" className="sr-only">
        {said}
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
          wrap ? 'break-all whitespace-pre-wrap' : 'whitespace-pre',
          tall ? 'max-h-[32rem]' : 'max-h-72',
        )}
      >
        <pre className="contents font-mono">
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
      <CopyButton text={text} what={what} />
    </span>
  )
}
