import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { failureFacts, noteSignedIn, pulse, sessionQuery } from '../api/api.ts'
import { Button, Menu, type MenuEntry, useToast } from '../design/design.ts'
import { type Preferences, usePreferences } from './preferences.tsx'

const themes = [
  { value: 'system', label: 'System theme', icon: 'system' },
  { value: 'light', label: 'Light', icon: 'sun' },
  { value: 'dark', label: 'Dark', icon: 'moon' },
] as const

/** Who is signed in, the theme, the help and the way out. */
export function AccountMenu({ onHelp }: { onHelp: () => void }) {
  const session = useQuery(sessionQuery).data
  const [preferences, change] = usePreferences()
  const client = useQueryClient()
  const navigate = useNavigate()
  const show = useToast()
  const leave = async () => {
    try {
      await pulse.signOut()
      noteSignedIn(false)
      client.clear()
      await navigate({ to: '/sign-in' })
    } catch (error) {
      show(`Still signed in: ${failureFacts(error).detail}`)
    }
  }
  const person: MenuEntry[] = session
    ? [
        {
          kind: 'note',
          label: session.kind === 'open' ? 'Open server' : 'Signed in',
          detail:
            session.kind === 'open'
              ? 'Started with --open: nobody signs in'
              : `as ${session.role ?? session.name}`,
        },
      ]
    : []
  const groups: MenuEntry[][] = [
    person,
    [
      {
        kind: 'choice',
        label: 'Theme',
        value: preferences.theme,
        options: themes,
        choose: (theme) => change({ theme: theme as Preferences['theme'] }),
      },
    ],
    [
      { kind: 'action', label: 'Keyboard and preferences', icon: 'keyboard', keys: '?', act: onHelp },
      {
        kind: 'action',
        label: 'API documentation',
        icon: 'link',
        act: () => window.location.assign('/docs'),
      },
      ...(session?.kind === 'session'
        ? [{ kind: 'action', label: 'Sign out', icon: 'exit', act: () => void leave() } as const]
        : []),
    ],
  ]
  return (
    <Menu
      trigger={(props) => (
        <Button look="quiet" icon="user" iconOnly title="Account and theme" {...props}>
          Account and theme
        </Button>
      )}
      groups={groups.filter((group) => group.length > 0)}
    />
  )
}
