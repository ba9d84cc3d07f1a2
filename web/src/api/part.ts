import { PulseError, pulse } from './api.ts'

/**
 * Loads a part of the dashboard that comes when it is needed. Where the server does not answer, the failure says so
 * as every other question's does, and not in the words of the browser's module loader.
 */
export const part =
  <Module>(load: () => Promise<Module>) =>
  (): Promise<Module> =>
    load().catch(async (error) => {
      await pulse.health({ retriesMax: 0 }).catch((unanswered) => {
        if (unanswered instanceof PulseError && unanswered.code === 'network') throw unanswered
      })
      throw error
    })
