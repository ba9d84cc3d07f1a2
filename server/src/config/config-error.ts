/** One thing that is wrong with the configuration, with the way out in `message`. */
export interface ConfigProblem {
  /** Name of the setting as in the environment (`PORT`), or of the part of the config file (`eventTypes.order.key`). */
  readonly setting: string
  /** A sentence: what is wrong, what was expected, what was received (never a secret), and from where. */
  readonly message: string
}

/**
 * The configuration cannot work. It names everything that is wrong at once, so that it is mended in one go.
 * Trying again without a change does not help; the process ends with exit code 3.
 */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly code = 'config'
  readonly exitCode = 3
  readonly problems: readonly ConfigProblem[]
  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    const lines = problems.map((problem) => `  ${problem.setting}: ${problem.message}`)
    const count = problems.length === 1 ? 'One setting is' : `${problems.length} settings are`
    super(`${count} wrong:\n${lines.join('\n')}`, options)
    this.problems = problems
  }
}
