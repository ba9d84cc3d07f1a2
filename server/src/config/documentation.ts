import { chapters, type Setting, settingList } from './settings.ts'

/** The page `docs/operating/configuration.md`: every setting of the table. A test keeps the file equal to this. */
export function documentation(): string {
  return `${opening}\n${chapters.map(chapterText).join('\n')}`
}

const opening = `# Configuration

<!-- Printed by documentation() from server/src/config/settings.ts; a test keeps both equal. Change the table, not this page. -->

With no configuration at all, Pulse runs. A setting is taken from the strongest of these places:

1. a flag on the command line, where the setting has one (after \`npm start --\`);
2. the environment;
3. the file \`.env\` in the folder from which Pulse is started;
4. the config file, where settings are written in camelCase (\`RETRY_ATTEMPTS\` is \`retryAttempts\`);
5. its default.

A secret \`X\` can also be given as \`X_FILE\`, the path of a file that holds it. Every setting that is wrong is named at the
start, and the server ends with exit code 3. \`npm run pulse -- config explain NAME\` shows which value counts and which it
hides; \`npm run pulse -- config check --strict\` also names keys that no setting has.

\`pulse.config.ts\` can say more than settings: \`eventTypes\`, \`topics\`, \`handlers\` and \`migrations\`.

\`\`\`ts
import { defineConfig } from '@pulse/server'

export default defineConfig({
  retryAttempts: 5,
  eventTypes: { 'order.placed': { key: '/properties/order_id', indexed: ['order_id'] } },
  handlers: { 'order.*': async (event) => ({ enriched: { total: Number(event.properties.amount) * 1.19 } }) },
})
\`\`\`
`

function chapterText(chapter: string): string {
  const rows = settingList.filter(([, one]) => one.chapter === chapter).map(([key, one]) => row(key, one))
  return `## ${chapter}\n\n| Name | In the config file | Flag | Expected | Default | |\n|---|---|---|---|---|---|\n${rows.join('\n')}\n`
}

function row(key: string, setting: Setting): string {
  const flag = setting.flag ? `\`--${setting.flag}\`` : ''
  const unit = setting.unit ? ` (${setting.unit})` : ''
  const name = setting.secret
    ? `\`${setting.name}\` or \`${setting.name}_FILE\`, secret`
    : `\`${setting.name}\``
  const cells = [
    name,
    `\`${key}\``,
    flag,
    `${setting.kind.expected}${unit}`,
    defaultText(setting),
    setting.help,
  ]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function defaultText(setting: Setting): string {
  if (setting.default === undefined) return setting.defaultText ?? 'none'
  const written = setting.kind.write(setting.default)
  return written === '' ? 'none' : `\`${written}\``
}
