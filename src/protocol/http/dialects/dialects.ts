/** Every dialect that a server can speak over HTTP. A new one is a file beside this, and a line here. */
import { friendly } from './friendly.ts'
import { v2 } from './v2/v2.ts'
import type { Dialect } from './dialect.ts'

export const DIALECTS: readonly Dialect[] = [v2, friendly]
