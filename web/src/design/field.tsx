import { type ComponentProps, type ReactNode, useId } from 'react'
import { classNames } from './class-names.ts'

const box =
  'min-h-8 w-full min-w-0 rounded-md border border-edge bg-surface px-2.5 py-1 text-base text-ink placeholder:text-faint pointer-coarse:min-h-11'

interface Labelled {
  readonly label: string
  /** Said below the control: what to write, or what is wrong with what was written. */
  readonly hint?: ReactNode
  readonly error?: string | undefined
  readonly className?: string
}

function Frame({
  id,
  label,
  hint,
  error,
  className,
  children,
}: Labelled & { id: string; children: ReactNode }) {
  return (
    <div className={classNames('flex min-w-0 flex-col gap-1', className)}>
      <label htmlFor={id} className="text-xs font-medium text-muted">
        {label}
      </label>
      {children}
      {(error ?? hint) !== undefined && (
        <p id={`${id}-hint`} className={classNames('text-xs', error ? 'text-bad' : 'text-faint')}>
          {error ?? hint}
        </p>
      )}
    </div>
  )
}

const described = (id: string, { hint, error }: Labelled) => ({
  'aria-describedby': (error ?? hint) === undefined ? undefined : `${id}-hint`,
  'aria-invalid': error ? true : undefined,
})

/** A text field with its label above and, when wanted, a hint or an error below. */
export function TextField({ label, hint, error, className, ...rest }: Labelled & ComponentProps<'input'>) {
  const id = useId()
  const frame = { label, hint, error, ...(className === undefined ? {} : { className }) }
  return (
    <Frame id={id} {...frame}>
      <input
        type="text"
        autoComplete="off"
        spellCheck={false}
        {...rest}
        id={id}
        {...described(id, frame)}
        className={box}
      />
    </Frame>
  )
}

/** A field for code or several lines, which grows with what is written. */
export function TextAreaField({
  label,
  hint,
  error,
  className,
  ...rest
}: Labelled & ComponentProps<'textarea'>) {
  const id = useId()
  const frame = { label, hint, error, ...(className === undefined ? {} : { className }) }
  return (
    <Frame id={id} {...frame}>
      <textarea
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        {...rest}
        id={id}
        {...described(id, frame)}
        className={classNames(box, 'resize-y py-1.5 font-mono text-sm leading-5 [field-sizing:content]')}
      />
    </Frame>
  )
}

/** A choice of one among few, by the system's own list, which every device knows how to show. */
export function SelectField({
  label,
  hint,
  error,
  className,
  children,
  ...rest
}: Labelled & ComponentProps<'select'>) {
  const id = useId()
  const frame = { label, hint, error, ...(className === undefined ? {} : { className }) }
  return (
    <Frame id={id} {...frame}>
      <select {...rest} id={id} {...described(id, frame)} className={classNames(box, 'pr-1')}>
        {children}
      </select>
    </Frame>
  )
}

/** A switch for a preference, with its explanation. */
export function SwitchField({
  label,
  hint,
  checked,
  onChange,
}: {
  label: string
  hint?: string
  checked: boolean
  onChange: (on: boolean) => void
}) {
  const id = useId()
  return (
    <label htmlFor={id} className="flex min-h-8 cursor-pointer items-start gap-3">
      <input
        id={id}
        type="checkbox"
        role="switch"
        aria-checked={checked}
        aria-label={label}
        aria-describedby={hint ? `${id}-hint` : undefined}
        checked={checked}
        onChange={(change) => onChange(change.target.checked)}
        className="mt-1 size-4 shrink-0 accent-[var(--accent)]"
      />
      <span>
        <span className="block">{label}</span>
        {hint && (
          <span id={`${id}-hint`} className="block text-sm text-muted">
            {hint}
          </span>
        )}
      </span>
    </label>
  )
}
