import { useQuery } from '@tanstack/react-query'
import { type FormEvent, Fragment, useState } from 'react'
import { eventTypesQuery } from '../api/api.ts'
import { Button, SelectField, TextField } from '../design/design.ts'
import {
  type EventSearch,
  fromLocalInput,
  propertiesOf,
  readEventSearch,
  toLocalInput,
} from './event-search.ts'
import { eventStates } from './event-states.ts'

const spans = [
  ['', 'Any time'],
  ['15m', 'Last 15 minutes'],
  ['1h', 'Last hour'],
  ['24h', 'Last 24 hours'],
  ['7d', 'Last 7 days'],
  ['fixed', 'From and to …'],
] as const

const text = (data: FormData, name: string) => String(data.get(name) ?? '').trim()

function readForm(form: HTMLFormElement): EventSearch {
  const data = new FormData(form)
  const span = text(data, 'span')
  const values = data.getAll('value')
  const properties = data.getAll('property').flatMap((name, index) => {
    const property = String(name).trim()
    return property === '' ? [] : [[`properties.${property}`, String(values[index] ?? '').trim()]]
  })
  return readEventSearch({
    event_type: text(data, 'event_type'),
    user_id: text(data, 'user_id'),
    status: text(data, 'status'),
    ...(span === 'fixed'
      ? { from: fromLocalInput(text(data, 'from')), to: fromLocalInput(text(data, 'to')) }
      : { last: span }),
    ...Object.fromEntries(properties),
  })
}

function TypeField({ chosen }: { chosen: string | undefined }) {
  const types = useQuery(eventTypesQuery)
  return (
    <>
      <TextField
        label="Type"
        name="event_type"
        list="event-types"
        defaultValue={chosen ?? ''}
        placeholder="Any"
        data-search
      />
      <datalist id="event-types">
        {types.data?.map((type) => (
          <option key={type.name} value={type.name}>{`${type.count_24h} in 24 h`}</option>
        ))}
      </datalist>
    </>
  )
}

function StateField({ chosen }: { chosen: string | undefined }) {
  return (
    <SelectField label="State" name="status" defaultValue={chosen ?? ''}>
      <option value="">Any</option>
      {eventStates.map((state) => (
        <option key={state} value={state}>
          {state}
        </option>
      ))}
    </SelectField>
  )
}

/** The time span; two more fields come when somebody wants to set both ends. */
function SpanFields({ search }: { search: EventSearch }) {
  const fixed = search.from !== undefined || search.to !== undefined
  const [span, setSpan] = useState(fixed ? 'fixed' : (search.last ?? ''))
  return (
    <>
      <SelectField
        label="Received"
        name="span"
        value={span}
        onChange={(change) => setSpan(change.target.value)}
      >
        {spans.map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </SelectField>
      {span === 'fixed' && (
        <>
          <TextField
            label="From"
            name="from"
            type="datetime-local"
            step="1"
            defaultValue={toLocalInput(search.from)}
          />
          <TextField
            label="To, not included"
            name="to"
            type="datetime-local"
            step="1"
            defaultValue={toLocalInput(search.to)}
          />
        </>
      )}
    </>
  )
}

/** One pair of fields; more where the address names more properties. */
function PropertyFields({ search }: { search: EventSearch }) {
  const named = Object.entries(propertiesOf(search))
  return (named.length === 0 ? [['', '']] : named).map(([property, value]) => (
    <Fragment key={property}>
      <TextField label="Property" name="property" defaultValue={property} placeholder="Name" />
      <TextField label="Is" name="value" defaultValue={value} placeholder="Value" />
    </Fragment>
  ))
}

/**
 * The query of the page. What it holds comes from the address (give it a new `key` when that changes) and goes
 * back there when it is sent: Enter in any field, or the button.
 */
export function Filters({
  search,
  onSearch,
  onClear,
}: {
  search: EventSearch
  onSearch: (search: EventSearch) => void
  onClear: () => void
}) {
  const send = (sent: FormEvent<HTMLFormElement>) => {
    sent.preventDefault()
    onSearch(readForm(sent.currentTarget))
  }
  return (
    <search aria-label="Events">
      <form
        onSubmit={send}
        className="mb-3 rounded-lg border border-hairline bg-surface px-4 py-3 shadow-card"
      >
        <div className="grid grid-cols-2 items-end gap-x-3 gap-y-2.5 lg:grid-cols-4 xl:grid-cols-[repeat(6,minmax(0,1fr))_auto]">
          <TypeField chosen={search.event_type} />
          <TextField label="User" name="user_id" defaultValue={search.user_id ?? ''} placeholder="Any" />
          <StateField chosen={search.status} />
          <SpanFields search={search} />
          <PropertyFields search={search} />
          <div className="col-span-2 flex gap-2 xl:col-span-1 xl:col-start-7 xl:row-start-1">
            <Button type="submit" look="primary" icon="search" className="flex-1">
              Search
            </Button>
            <Button look="plain" onClick={onClear}>
              Clear
            </Button>
          </div>
        </div>
      </form>
    </search>
  )
}
