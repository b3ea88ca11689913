import { controlPlane } from './control-plane.ts'
import { lists } from './lists.ts'
import { policies } from './policies.ts'
import { registry } from './registry.ts'
import { seams } from './seams.ts'
import type { Migration } from '../../storage/sql/migration.ts'

/** The steps that made the schema before each room had steps of its own. They stay as they are. */
export const FIRST_MIGRATIONS: readonly Migration[] = [registry, policies, lists, controlPlane, seams]
