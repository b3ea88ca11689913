import { controlPlane } from './control-plane.ts'
import { lists } from './lists.ts'
import { policies } from './policies.ts'
import { registry } from './registry.ts'
import { seams } from './seams.ts'
import type { Migration } from '../migration.ts'

/** Every step of the schema, in the order of application. What was released stays as it is; changes are further steps. */
export const MIGRATIONS: readonly Migration[] = [registry, policies, lists, controlPlane, seams]
