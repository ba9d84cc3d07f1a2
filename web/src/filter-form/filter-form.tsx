import { useQuery } from '@tanstack/react-query'
import { eventTypesQuery } from '../api/api.ts'
import { Tabs, TextAreaField, TextField } from '../design/design.ts'
import { type Draft, type FilterFormName, type SimpleDraft, written } from './draft.ts'
import { ExpressionField } from './expression-field.tsx'
import type { Misreading } from './misreading.ts'

const names: Record<FilterFormName, string> = {
  expression: 'Expression',
  pattern: 'Pattern',
  simple: 'Simple',
}
const formNamed = (name: string) =>
  (Object.keys(names) as FilterFormName[]).find((form) => names[form] === name) ?? 'expression'

export interface FilterFormProps {
  readonly draft: Draft
  readonly onChange: (draft: Draft) => void
  /** Sends it, for Enter in a field. */
  readonly onSend: () => void
  /** What the page itself finds missing. */
  readonly flaw?: string | undefined
  readonly misreading?: Misreading | undefined
  /** The text that the server could not read. */
  readonly readText?: string | undefined
}

/** Says what stands in a form that the filter was not written in. */
function Elsewhere({ value, name }: { value: unknown; name: string }) {
  if (value === null)
    return (
      <p className="mb-2 text-sm text-muted">
        This filter asks for more than the {name} can say. What you write here replaces it.
      </p>
    )
  if (value !== undefined) return null
  return (
    <p className="mb-2 text-sm text-muted">
      Test the filter to see it in this form, or write another one here.
    </p>
  )
}

function Pattern({ draft, onChange, flaw, misreading }: FilterFormProps) {
  const where = misreading?.pointer ? `${misreading.pointer}: ` : ''
  return (
    <>
      <Elsewhere value={draft.pattern} name="pattern" />
      <TextAreaField
        label="EventBridge pattern"
        rows={6}
        value={draft.pattern ?? ''}
        placeholder={'{ "event_type": [{ "prefix": "order." }] }'}
        onChange={(change) => onChange(written({ form: 'pattern', pattern: change.target.value }))}
        hint="JSON. Members of the event, each with the values that pass."
        error={flaw ?? (misreading && `${where}${misreading.text}`)}
      />
    </>
  )
}

const noSimple: SimpleDraft = { types: '', tiers: '', amount: '' }

function Simple({ draft, onChange, onSend, flaw, misreading }: FilterFormProps) {
  const types = useQuery(eventTypesQuery).data
  const simple = draft.simple ?? noSimple
  const change = (part: Partial<SimpleDraft>) =>
    onChange(written({ form: 'simple', simple: { ...simple, ...part } }))
  const known = types?.map(({ name }) => name).slice(0, 6)
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Enter in a field sends, as in a form; a form may stand around this one.
    <div
      onKeyDown={(pressed) => {
        if (pressed.key !== 'Enter') return
        pressed.preventDefault()
        onSend()
      }}
    >
      <Elsewhere value={draft.simple} name="simple form" />
      <div className="grid gap-3 sm:grid-cols-3">
        <TextField
          label="Event types"
          value={simple.types}
          placeholder="purchase, signup"
          onChange={(event) => change({ types: event.target.value })}
          hint={
            known && known.length > 0
              ? `With commas between. Known: ${known.join(', ')}.`
              : 'With commas between.'
          }
          error={flaw ?? misreading?.text}
          className="sm:col-span-3"
        />
        <TextField
          label="User tiers"
          value={simple.tiers}
          placeholder="Any"
          onChange={(event) => change({ tiers: event.target.value })}
          hint="Of properties.user_tier."
          className="sm:col-span-2"
        />
        <TextField
          label="Least amount"
          value={simple.amount}
          inputMode="decimal"
          placeholder="Any"
          onChange={(event) => change({ amount: event.target.value })}
          hint="Of properties.amount."
        />
      </div>
    </div>
  )
}

/** A filter in any of its three forms. The one in sight is the one that counts. */
export function FilterForm(props: FilterFormProps) {
  const { draft, onChange, onSend, flaw, misreading, readText } = props
  const tabs = [
    {
      name: names.expression,
      content: (
        <>
          <Elsewhere value={draft.expression} name="expression" />
          <ExpressionField
            label="Expression"
            value={draft.expression ?? ''}
            placeholder='event_type = "order.*" and properties.amount > 100'
            onChange={(text) => onChange(written({ form: 'expression', expression: text }))}
            onSend={onSend}
            misreading={flaw === undefined ? misreading : { text: flaw, at: undefined, pointer: '' }}
            readText={readText}
            hint={<Words />}
          />
        </>
      ),
    },
    { name: names.pattern, content: <Pattern {...props} /> },
    { name: names.simple, content: <Simple {...props} /> },
  ]
  return (
    <Tabs
      label="Ways to write the filter"
      tabs={tabs}
      chosen={names[draft.form]}
      onChoose={(name) => onChange({ ...draft, form: formNamed(name) })}
    />
  )
}

/** The words of the language in one line. */
function Words() {
  return (
    <>
      Members such as <code className="font-mono">event_type</code>,{' '}
      <code className="font-mono">user_id</code>, <code className="font-mono">properties.amount</code>; words
      such as{' '}
      <code className="font-mono">and or not = != &lt; &gt; in between starts with like exists missing</code>.
    </>
  )
}
