/**
 * What may be done, from least to most: `read`, `write` (log, register, set aliases), `protect` (move protected aliases), `admin` (keys,
 * garbage, everything).
 */
export const ACTIONS = ['read', 'write', 'protect', 'admin'] as const

/** What programs of ours may do: `join`, become a server that follows; `follow`, be one. Whoever may write may follow, admins let join. */
export const SERVER_ACTIONS = ['follow', 'join'] as const
export type Action = (typeof ACTIONS)[number] | (typeof SERVER_ACTIONS)[number]

/** Who is calling, as the door has found out. */
export interface Caller {
  /** For the record: the name of the key, or `local` where no keys are asked for. */
  readonly name: string
  /** Of the key that it came with. */
  readonly keyId?: string | undefined
  /** Where it may do anything at all. Undefined: everywhere. */
  readonly environments?: readonly string[] | undefined
  may(action: Action): boolean
}
