/** Answers of `/api/v1` on background work. Times are UTC epoch milliseconds. */
import { Type } from 'typebox'
import type { Static } from 'typebox'
import { oneOf } from './schema.ts'

const Optional = Type.Optional

export const WORK_STATES = ['waiting', 'running', 'done', 'failed', 'cancelled'] as const

export const WorkAnswer = Type.Object({
  id: Type.String(),
  kind: Type.String(),
  key: Optional(Type.String({ description: 'Of what waits or runs, no two of a kind have one key.' })),
  state: oneOf(WORK_STATES),
  priority: Type.Integer({ description: 'Smaller is more urgent.' }),
  attempts: Type.Integer(),
  attemptsMax: Type.Integer(),
  claimAt: Optional(Type.Integer({ description: 'When it may be begun; of what runs, when another process may take it over.' })),
  deadlineAt: Optional(Type.Integer({ description: 'What has not been begun by then is given up.' })),
  holder: Optional(Type.String({ description: 'The process that runs it, or ran it last.' })),
  payload: Type.Unknown(),
  progress: Optional(Type.Unknown()),
  result: Optional(Type.Unknown()),
  error: Optional(Type.String({ description: 'What went wrong last.' })),
  schedule: Optional(Type.Unknown({ description: 'When it is done again.' })),
  createdAt: Type.Integer(),
  startedAt: Optional(Type.Integer()),
  endedAt: Optional(Type.Integer()),
})
export type WorkAnswer = Static<typeof WorkAnswer>

export const WorkCountAnswer = Type.Object({ kind: Type.String(), state: oneOf(WORK_STATES), count: Type.Integer() })
export type WorkCountAnswer = Static<typeof WorkCountAnswer>
