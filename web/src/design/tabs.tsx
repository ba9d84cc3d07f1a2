import { Tabs as Radix } from 'radix-ui'
import type { ReactNode } from 'react'

export interface Tab {
  readonly name: string
  readonly content: ReactNode
}

/** Several views of one thing, one at a time. `label` says of what. With `chosen`, whoever uses it keeps which one is seen. */
export function Tabs({
  label,
  tabs,
  chosen,
  onChoose,
}: {
  label: string
  tabs: readonly Tab[]
  chosen?: string
  onChoose?: (name: string) => void
}) {
  // A name may have spaces, and Radix makes ids of values.
  const idOf = (name: string) => String(tabs.findIndex((tab) => tab.name === name))
  const controlled =
    chosen === undefined
      ? { defaultValue: '0' }
      : {
          value: idOf(chosen),
          onValueChange: (value: string) => onChoose?.(tabs[Number(value)]?.name ?? ''),
        }
  return (
    <Radix.Root {...controlled}>
      <Radix.List aria-label={label} className="mb-2 flex gap-1 border-b border-hairline">
        {tabs.map(({ name }) => (
          <Radix.Trigger
            key={name}
            value={idOf(name)}
            className="-mb-px min-h-8 border-b-2 border-transparent px-3 text-sm font-medium text-muted hover:text-ink data-[state=active]:border-accent data-[state=active]:text-ink pointer-coarse:min-h-11"
          >
            {name}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map(({ name, content }) => (
        <Radix.Content key={name} value={idOf(name)} tabIndex={-1}>
          {content}
        </Radix.Content>
      ))}
    </Radix.Root>
  )
}
