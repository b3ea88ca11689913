/** Control-plane assembles `slipway up`. Each capability is one value in rooms/; this file is the list of them. */
import { FIRST_MIGRATIONS } from './migrations/index.ts'
import { Rooms } from './room.ts'
import { ACCESS } from './rooms/access.ts'
import { BACKUP } from './rooms/backup.ts'
import { DELIVERY } from './rooms/delivery.ts'
import { FILES } from './rooms/files.ts'
import { IMPORT } from './rooms/import.ts'
import { LEDGER } from './rooms/ledger.ts'
import { MLFLOW } from './rooms/mlflow.ts'
import { MODELS } from './rooms/models.ts'
import { MONITORING } from './rooms/monitoring.ts'
import { RECORDS } from './rooms/records.ts'
import { ROLLOUTS } from './rooms/rollouts.ts'
import { SERVING } from './rooms/serving.ts'
import { TRACKING } from './rooms/tracking.ts'
import { WORK } from './rooms/work.ts'
import type { Foundation } from './room.ts'

/** All capabilities of a control plane. A new one is one more line. */
export const ROOMS = new Rooms<Foundation>([{ migrations: FIRST_MIGRATIONS, open: () => ({}) }])
  .and(LEDGER)
  .and(ACCESS)
  .and(WORK)
  .and(FILES)
  .and(TRACKING)
  .and(MODELS)
  .and(MLFLOW)
  .and(IMPORT)
  .and(DELIVERY)
  .and(MONITORING)
  .and(ROLLOUTS)
  .and(RECORDS)
  .and(SERVING)
  .and(BACKUP)

/** Services of an open control plane. */
export type Services = typeof ROOMS extends Rooms<infer Every> ? Every : never
