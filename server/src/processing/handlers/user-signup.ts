import { type Handler, PermanentError } from '@pulse/server'

/** A sign-up must say who signed up. */
export const userSignup: Handler = (event) => {
  if (!event.user_id) throw new PermanentError('User signup events must have a user_id')
}
