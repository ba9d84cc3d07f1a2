import { Sheet, SwitchField } from '../design/design.ts'
import { pages } from './pages.ts'
import { usePreferences } from './preferences.tsx'

const keys: readonly (readonly [string, string])[] = [
  ['Ctrl K or ⌘ K', 'Go to a page, a type or an event'],
  ...pages.map((page) => [`g ${page.key}`, page.name] as const),
  ['/', 'Search or filter'],
  ['j and k', 'Next and previous row'],
  ['Space', 'Pause or resume live updates'],
  ['?', 'This help'],
]

/** The keys, and the preferences that go with them. */
export function Help({ onClose }: { onClose: () => void }) {
  const [preferences, change] = usePreferences()
  return (
    <Sheet title="Keyboard and preferences" shape="box" onClose={onClose}>
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-6 gap-y-1.5">
        {keys.map(([key, what]) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="rounded-sm border border-hairline bg-sunken px-1.5 py-0.5 font-mono text-xs">
                {key}
              </kbd>
            </dt>
            <dd className="text-muted">{what}</dd>
          </div>
        ))}
      </dl>
      <div className="mt-5 flex flex-col gap-3 border-t border-hairline pt-4">
        <SwitchField
          label="Single-key shortcuts"
          hint="Turn off if dictation or another tool sends keys to the page."
          checked={preferences.shortcuts}
          onChange={(shortcuts) => change({ shortcuts })}
        />
        <SwitchField
          label="Exact times in lists"
          hint="Show 10:42:07 instead of 5 min ago."
          checked={preferences.times === 'clock'}
          onChange={(exact) => change({ times: exact ? 'clock' : 'age' })}
        />
      </div>
    </Sheet>
  )
}
