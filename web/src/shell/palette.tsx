import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { type KeyboardEvent, useId, useState } from 'react'
import { eventTypesQuery } from '../api/api.ts'
import { classNames, Icon, type IconName, Sheet } from '../design/design.ts'
import { pages } from './pages.ts'
import { usePreferences } from './preferences.tsx'

interface Command {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly icon: IconName
  readonly act: () => void
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const shownMax = 9

function useCommands(text: string): readonly Command[] {
  const navigate = useNavigate()
  const [preferences, change] = usePreferences()
  const types = useQuery(eventTypesQuery)
  const id = text.trim()
  if (uuid.test(id))
    return [
      {
        id: 'event',
        name: `Open event ${id}`,
        kind: 'Event',
        icon: 'events',
        act: () => void navigate({ to: '/events/$eventId', params: { eventId: id } }),
      },
    ]
  const themes = (['light', 'dark', 'system'] as const).filter((theme) => theme !== preferences.theme)
  const all: Command[] = [
    ...pages.map((page) => ({
      id: page.to,
      name: page.name,
      kind: 'Page',
      icon: page.icon,
      act: () => void navigate({ to: page.to }),
    })),
    ...(types.data ?? []).map((type) => ({
      id: `type ${type.name}`,
      name: type.name,
      kind: 'Events of type',
      icon: 'events' as const,
      act: () => void navigate({ to: '/events', search: { event_type: type.name } }),
    })),
    ...themes.map((theme) => ({
      id: `theme ${theme}`,
      name: `Use the ${theme} theme`,
      kind: 'Theme',
      icon: 'sun' as const,
      act: () => change({ theme }),
    })),
    {
      id: 'docs',
      name: 'API documentation',
      kind: 'Page',
      icon: 'link',
      act: () => window.location.assign('/docs'),
    },
  ]
  const wanted = id.toLowerCase()
  return all
    .filter((command) => `${command.kind} ${command.name}`.toLowerCase().includes(wanted))
    .slice(0, shownMax)
}

/** Everything by name: pages, event types, an event by its id. Opened by Ctrl-K or ⌘-K. */
export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('')
  const [active, setActive] = useState(0)
  const listId = useId()
  const commands = useCommands(text)
  const chosen = Math.min(active, commands.length - 1)
  const run = (command: Command | undefined) => {
    if (!command) return
    onClose()
    command.act()
  }
  const press = (pressed: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[pressed.key]
    if (by === undefined && pressed.key !== 'Enter') return
    pressed.preventDefault()
    if (by === undefined) run(commands[chosen])
    else setActive((chosen + by + commands.length) % Math.max(1, commands.length))
  }
  return (
    <Sheet title="Go to" shape="box" onClose={onClose}>
      <input
        data-focus
        type="text"
        role="combobox"
        aria-label="Page, event type or event id"
        aria-expanded="true"
        aria-controls={listId}
        aria-activedescendant={commands[chosen] ? `${listId}-${chosen}` : undefined}
        placeholder="Page, event type or event id"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(change) => {
          setText(change.target.value)
          setActive(0)
        }}
        onKeyDown={press}
        className="min-h-9 w-full rounded-md border border-edge bg-surface px-3 text-lg placeholder:text-faint"
      />
      <div id={listId} role="listbox" aria-label="Matches" className="mt-3">
        {commands.map((command, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the focus and the keys.
          <div
            key={command.id}
            id={`${listId}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            onClick={() => run(command)}
            className={classNames(
              'flex min-h-9 cursor-pointer items-center gap-3 rounded-md px-2',
              index === chosen ? 'bg-accent-soft' : 'hover:bg-hover',
            )}
          >
            <Icon name={command.icon} className="text-muted" />
            <span className="min-w-0 flex-1 truncate">{command.name}</span>
            <span className="text-xs text-muted">{command.kind}</span>
          </div>
        ))}
      </div>
      {commands.length === 0 && (
        <p className="px-2 py-3 text-muted">Nothing by that name. A whole event id opens the event.</p>
      )}
    </Sheet>
  )
}
