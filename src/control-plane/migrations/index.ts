import { controlPlane } from './control-plane.ts'
import { lists } from './lists.ts'
import { policies } from './policies.ts'
import { registry } from './registry.ts'
import { seams } from './seams.ts'
import type { Migration } from '../../storage/sql/migration.ts'

/** Migrations of the time before each room had its own. They must not change. */
export const FIRST_MIGRATIONS: readonly Migration[] = [registry, policies, lists, controlPlane, seams]
