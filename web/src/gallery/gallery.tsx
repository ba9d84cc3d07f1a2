import { type ReactNode, useEffect, useState } from 'react'
import { Chart } from '../chart/chart.tsx'
import {
  Badge,
  Button,
  Code,
  CopyText,
  EmptyState,
  Fact,
  Facts,
  Failure,
  formatRate,
  Instant,
  Loading,
  Menu,
  Panel,
  SelectField,
  Sheet,
  Spark,
  StateBadge,
  SwitchField,
  Table,
  Tabs,
  TextAreaField,
  TextField,
  Tile,
  useToast,
} from '../design/design.ts'
import { usePreferences } from '../shell/shell.tsx'

const grounds = [
  'canvas',
  'surface',
  'sunken',
  'raised',
  'hover',
  'accent-soft',
  'ok-soft',
  'warn-soft',
  'bad-soft',
]
const inks = ['ink', 'muted', 'faint', 'accent', 'ok', 'warn', 'bad', 'edge', 'hairline']
const states = ['accepted', 'retrying', 'processed', 'dead', 'dropped', 'redriven']

function Section({ name, children }: { name: string; children: ReactNode }) {
  return (
    <section className="mt-10">
      <h2 className="mb-3 text-lg font-semibold">{name}</h2>
      {children}
    </section>
  )
}

function Colours() {
  const swatch = (name: string) => (
    <li key={name} className="flex items-center gap-2 text-sm">
      <span className="size-8 rounded-md border border-hairline" style={{ background: `var(--${name})` }} />
      <code className="font-mono">{name}</code>
    </li>
  )
  return (
    <ul className="grid grid-cols-2 gap-3 sm:grid-cols-4 lg:grid-cols-6">
      {[...grounds, ...inks, ...[1, 2, 3, 4, 5].map((series) => `series-${series}`)].map(swatch)}
    </ul>
  )
}

function Type() {
  return (
    <div className="flex flex-col gap-2">
      <p className="figures text-figure font-medium tracking-tight">1,234.5 figure</p>
      <p className="text-xl font-semibold tracking-tight">Heading of a page</p>
      <p className="text-lg">Large, to lead in</p>
      <p className="text-base">
        Base: what is read. An event goes in once, is kept, is processed and is seen.
      </p>
      <p className="text-sm text-muted">Small: what explains, and the rows of tables</p>
      <p className="text-xs text-faint">Extra small: labels</p>
      <p className="font-mono text-sm">Mono: 0199a3c2-7d11 {'{ "amount": 42.5 }'}</p>
    </div>
  )
}

function Controls() {
  const [on, setOn] = useState(true)
  return (
    <div className="grid gap-6 md:grid-cols-2">
      <div className="flex flex-wrap items-start gap-2">
        <Button look="primary" icon="search">
          Primary
        </Button>
        <Button>Plain</Button>
        <Button look="quiet" icon="pause">
          Quiet
        </Button>
        <Button look="danger">Danger</Button>
        <Button busy icon="retry">
          Busy
        </Button>
        <Button disabled>Disabled</Button>
        <Button look="quiet" icon="download" iconOnly>
          Icon only
        </Button>
      </div>
      <div className="grid gap-3 sm:grid-cols-2">
        <TextField label="Field" placeholder="Placeholder" hint="A hint says what to write." />
        <TextField
          label="Field with an error"
          defaultValue="yesterday"
          error="Write a date, for example 2026-11-21."
        />
        <SelectField label="Choice">
          <option>processed</option>
          <option>dead</option>
        </SelectField>
        <TextAreaField
          label="Code"
          rows={1}
          placeholder='event_type = "order.*"'
          hint="It grows as it is written."
        />
        <SwitchField label="Switch" hint="What it does." checked={on} onChange={setOn} />
      </div>
    </div>
  )
}

function Over() {
  const [shape, setShape] = useState<'sheet' | 'box' | null>(null)
  const show = useToast()
  const [theme, change] = usePreferences()
  return (
    <div className="flex flex-wrap gap-2">
      <Button onClick={() => setShape('sheet')}>Open a sheet</Button>
      <Button onClick={() => setShape('box')}>Open a box</Button>
      <Button onClick={() => show('Purchase is on its way again.')}>Show a toast</Button>
      <Menu
        trigger={(props) => (
          <Button icon="sun" {...props}>
            Theme
          </Button>
        )}
        groups={[
          [
            {
              kind: 'choice',
              label: 'Theme',
              value: theme.theme,
              options: [
                { value: 'system', label: 'System', icon: 'system' },
                { value: 'light', label: 'Light', icon: 'sun' },
                { value: 'dark', label: 'Dark', icon: 'moon' },
              ],
              choose: (value) => change({ theme: value === 'light' || value === 'dark' ? value : 'system' }),
            },
          ],
        ]}
      />
      {shape && (
        <Sheet
          title="A sheet"
          shape={shape}
          onClose={() => setShape(null)}
          footer={<Button look="primary">Do it</Button>}
        >
          Escape, the cross and the ground outside close it. Focus goes back to where it was.
        </Sheet>
      )}
    </div>
  )
}

const at = Array.from({ length: 300 }, (_, second) => 1_790_000_000 + second)
const wave = (size: number, phase: number) =>
  at.map((_, index) => (index > 90 && index < 110 ? null : size * (1.2 + Math.sin(index / 22 + phase))))

function Data() {
  return (
    <div className="flex flex-col gap-3">
      <div className="grid gap-3 sm:grid-cols-3">
        <Tile label="Tile" value="42" unit="per second">
          <Spark values={wave(3, 0)} />
        </Tile>
        <Tile label="Tile that is well" value="Healthy" tone="ok">
          <p>Up: database, log</p>
        </Tile>
        <Tile label="Tile that warns" value="14.2" unit="s" tone="warn">
          <p>12,345 waiting</p>
        </Tile>
      </div>
      <Chart
        title="Chart"
        unit="a figure per second"
        at={at}
        spanSeconds={300}
        format={formatRate}
        series={[
          { name: 'One', values: wave(40, 0), colour: 1 },
          { name: 'Two', values: wave(28, 1), colour: 2, dash: [6, 4] },
          { name: 'Three', values: wave(12, 2), colour: 3, dash: [2, 3] },
        ]}
      />
      <Panel flush title="Table">
        <Table
          label="States"
          rows={states}
          keyOf={(state) => state}
          columns={[
            { name: 'State', lead: true, cell: (state) => <StateBadge state={state} /> },
            { name: 'Letters', align: 'right', cell: (state) => state.length },
          ]}
        />
      </Panel>
    </div>
  )
}

function Texts() {
  return (
    <Tabs
      label="Examples"
      tabs={[
        {
          name: 'Code',
          content: (
            <Code
              text={'curl http://127.0.0.1:8000/events \\\n  -d \'{"event_type": "purchase"}\''}
              label="an example"
            />
          ),
        },
        {
          name: 'Facts',
          content: (
            <Facts>
              <Fact name="Event id">
                <CopyText text="0199a3c2-7d11-7c3e-9f31-0d6a5d1f9b60" what="the id" />
              </Fact>
              <Fact name="Received">
                <Instant at={new Date(Date.now() - 300_000).toISOString()} />
              </Fact>
            </Facts>
          ),
        },
      ]}
    />
  )
}

function Absences() {
  return (
    <div className="grid gap-3 md:grid-cols-3">
      <Panel>
        <EmptyState icon="check" title="Nothing has failed">
          What cannot be processed comes here.
        </EmptyState>
      </Panel>
      <Panel>
        <Loading rows={4} />
      </Panel>
      <Panel flush>
        <Failure
          facts={{
            title: 'Query too wide',
            detail: 'A property filter needs an event_type.',
            code: 'query_too_wide',
            requestId: 'req-1',
          }}
          remedy="Choose an event type."
          onRetry={() => {}}
        />
      </Panel>
    </div>
  )
}

/** The design system on one page, for those who build with it. Everything here is made up. */
export function Gallery() {
  useEffect(() => {
    document.title = 'Design · Pulse'
  }, [])
  return (
    <main className="mx-auto max-w-5xl px-4 py-10">
      <h1 className="text-xl font-semibold tracking-tight">Design system</h1>
      <p className="mt-1 max-w-prose text-muted">
        Calm, dense where people compare, generous where they read. Warm paper neutrals, one accent,
        hairlines, a 4 px grid, system fonts.
      </p>
      <Section name="Colour">
        <Colours />
      </Section>
      <Section name="Type">
        <Type />
      </Section>
      <Section name="Buttons and fields">
        <Controls />
      </Section>
      <Section name="Sheet, toast, menu">
        <Over />
      </Section>
      <Section name="Badges">
        <div className="flex flex-wrap gap-2">
          {states.map((state) => (
            <StateBadge key={state} state={state} />
          ))}
          <Badge>neutral</Badge>
          <Badge tone="accent" icon="key">
            accent
          </Badge>
        </div>
      </Section>
      <Section name="Tiles, chart, table">
        <Data />
      </Section>
      <Section name="Code, facts, tabs">
        <Texts />
      </Section>
      <Section name="Empty, loading, failed">
        <Absences />
      </Section>
    </main>
  )
}
