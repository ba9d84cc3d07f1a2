/**
 * What the pages of the documentation are printed from: the very tables that the server works by. Nothing here runs.
 */
export { ticketSeconds } from './accounts/account-routes.ts'
export { linkSeconds } from './accounts/accounts.ts'
export { failureRate } from './accounts/gate.ts'
export { sessionSecondsMax } from './accounts/session-cookie.ts'
export { filterBytesMax, tokenSecondsMax } from './accounts/tokens.ts'
export { documentation } from './config/documentation.ts'
export { type SettingKey, settings } from './config/settings.ts'
export { httpLimits } from './http/http-server.ts'
export { inFlightEventsMax } from './intake/admission.ts'
export { historySecondsMax } from './operations/history.ts'
export { namesMax } from './operations/observations.ts'
export { logDiskRatioMax } from './operations/retention.ts'
export { enrichedCharsMax } from './processing/copy-rows.ts'
export { queryMsMax } from './query/limited-query.ts'
