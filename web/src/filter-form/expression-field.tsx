import { type ReactNode, useEffect, useRef } from 'react'
import { TextAreaField } from '../design/design.ts'
import { type Misreading, markAt } from './misreading.ts'

/** The expression once more, with the piece that the server could not read underlined. */
function Marking({ text, at }: { text: string; at: number }) {
  const { before, wrong, after } = markAt(text, at)
  return (
    <p className="mt-1 rounded-md bg-bad-soft px-2.5 py-1.5 font-mono text-sm leading-5 wrap-anywhere whitespace-pre-wrap">
      {before}
      <mark className="rounded-sm bg-transparent font-semibold text-bad underline decoration-wavy decoration-2 underline-offset-4">
        {wrong === '' ? ' … ' : wrong}
      </mark>
      {after}
    </p>
  )
}

/**
 * Where an expression is written. Enter sends it, Shift and Enter begins a new line. What the server could not read is
 * underlined at its place (`readText` is what it was given), and the cursor goes there if the field has the focus.
 */
export function ExpressionField({
  label,
  value,
  onChange,
  onSend,
  misreading,
  readText,
  hint,
  ...rest
}: {
  label: string
  value: string
  onChange: (text: string) => void
  onSend?: () => void
  misreading?: Misreading | undefined
  readText?: string | undefined
  hint?: ReactNode
  placeholder?: string
}) {
  const frame = useRef<HTMLDivElement>(null)
  const { at, text } = misreading ?? {}
  useEffect(() => {
    const field = frame.current?.querySelector('textarea')
    if (at === undefined || text === undefined || !field || document.activeElement !== field) return
    field.setSelectionRange(at, at + markAt(field.value, at).wrong.length)
  }, [at, text])
  return (
    <div ref={frame} className="min-w-0 flex-1">
      <TextAreaField
        label={label}
        rows={1}
        data-search
        value={value}
        onChange={(change) => onChange(change.target.value)}
        onKeyDown={(pressed) => {
          if (pressed.key !== 'Enter' || pressed.shiftKey || !onSend) return
          pressed.preventDefault()
          onSend()
        }}
        hint={hint}
        error={text}
        {...rest}
      />
      {at !== undefined && readText !== undefined && <Marking text={readText} at={at} />}
    </div>
  )
}
