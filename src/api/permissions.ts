/**
 * What may be done, from least to most: `read`, `write` (log, register, set aliases), `protect` (move protected aliases), `admin` (keys,
 * garbage, everything).
 */
export const ACTIONS = ['read', 'write', 'protect', 'admin'] as const
export type Action = (typeof ACTIONS)[number]

/** Who is calling, as the door has found out. */
export interface Caller {
  /** For the record: the name of the key, or `local` where no keys are asked for. */
  readonly name: string
  may(action: Action): boolean
}
