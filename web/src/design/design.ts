/** The design system: what pages are made of. Its tokens are in tokens.css, all of it together at /ui/design. */
export { Ask } from './ask.tsx'
export { Badge, StateBadge, type Tone } from './badge.tsx'
export { Button, buttonLook } from './button.tsx'
export { classNames } from './class-names.ts'
export { Code, CopyButton, CopyText } from './code.tsx'
export { EmptyState, Loading } from './empty-state.tsx'
export { Failure, type FailureFacts } from './failure.tsx'
export { SelectField, SwitchField, TextAreaField, TextField } from './field.tsx'
export {
  formatBytes,
  formatCount,
  formatInstant,
  formatJson,
  formatMs,
  formatRate,
  formatSpan,
  formatTimeOfDay,
  measureMs,
} from './format.ts'
export { Icon, type IconName } from './icon.tsx'
export { ExactInstant, Instant, TimesContext, useNow } from './instant.tsx'
export { Menu, type MenuEntry } from './menu.tsx'
export { Sheet } from './sheet.tsx'
export { Spark } from './spark.tsx'
export { type Column, Table } from './table.tsx'
export { Tabs } from './tabs.tsx'
export { Fact, Facts, Panel, Tile } from './tile.tsx'
export { Toasts, useToast } from './toast.tsx'
