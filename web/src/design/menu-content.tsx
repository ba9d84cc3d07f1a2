import { DropdownMenu as Radix } from 'radix-ui'
import { classNames } from './class-names.ts'
import { Icon } from './icon.tsx'
import type { MenuEntry, MenuProps } from './menu.tsx'

const item =
  'flex min-h-8 cursor-pointer items-center gap-2.5 rounded-sm px-2 py-1 text-sm outline-none data-[highlighted]:bg-hover pointer-coarse:min-h-11'

function Entry({ entry }: { entry: MenuEntry }) {
  if (entry.kind === 'note')
    return (
      <Radix.Label className="px-2 py-1.5">
        <span className="block text-sm font-medium">{entry.label}</span>
        <span className="block text-xs text-muted">{entry.detail}</span>
      </Radix.Label>
    )
  if (entry.kind === 'action')
    return (
      <Radix.Item className={item} onSelect={entry.act}>
        <Icon name={entry.icon} className="text-muted" />
        <span className="flex-1">{entry.label}</span>
        {entry.keys && <kbd className="font-mono text-xs text-faint">{entry.keys}</kbd>}
      </Radix.Item>
    )
  return (
    <Radix.RadioGroup value={entry.value} onValueChange={entry.choose} aria-label={entry.label}>
      {entry.options.map((option) => (
        <Radix.RadioItem
          key={option.value}
          value={option.value}
          className={item}
          onSelect={(select) => select.preventDefault()}
        >
          <Icon name={option.icon} className="text-muted" />
          <span className="flex-1">{option.label}</span>
          <Radix.ItemIndicator>
            <Icon name="check" className="text-accent" />
          </Radix.ItemIndicator>
        </Radix.RadioItem>
      ))}
    </Radix.RadioGroup>
  )
}

/**
 * The menu itself, in the landmark of its button rather than at the end of the page; open as soon as it is there: it is fetched when its button is first
 * pressed.
 */
export function MenuContent({ trigger, groups }: MenuProps) {
  return (
    <Radix.Root modal={false} defaultOpen>
      <Radix.Trigger asChild>{trigger({})}</Radix.Trigger>

      <Radix.Content
        align="end"
        sideOffset={6}
        collisionPadding={8}
        className="z-30 max-h-[var(--radix-dropdown-menu-content-available-height)] min-w-56 overflow-y-auto rounded-md border border-hairline bg-raised p-1 text-ink shadow-over"
      >
        {groups.map((group, index) => (
          <Radix.Group
            key={group[0]?.label}
            className={classNames(index > 0 && 'mt-1 border-t border-hairline pt-1')}
          >
            {group.map((entry) => (
              <Entry key={entry.label} entry={entry} />
            ))}
          </Radix.Group>
        ))}
      </Radix.Content>
    </Radix.Root>
  )
}
