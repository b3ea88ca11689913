import { DELIVERY_RULES } from './rules/delivery.ts'
import { FALCO_RULES } from './rules/falco.ts'
import { FORM_RULES } from './rules/forms.ts'
import { IDENTITY_RULES } from './rules/identity.ts'
import { IMAGE_RULES } from './rules/images.ts'
import { MESH_RULES } from './rules/mesh.ts'
import { NETWORK_RULES } from './rules/network.ts'
import { NODE_RULES } from './rules/nodes.ts'
import { POD_SECURITY_RULES } from './rules/pod-security.ts'
import { PROBE_RULES } from './rules/probes.ts'
import { RESOURCE_RULES } from './rules/resources.ts'
import { ROLLOUT_RULES } from './rules/rollout.ts'
import { SCALING_RULES } from './rules/scaling.ts'
import { SECRET_RULES } from './rules/secrets.ts'
import { SELECTOR_RULES } from './rules/selectors.ts'
import type { Rule } from './rule.ts'

/** All rules, by theme. */
export const RULE_THEMES: readonly (readonly [theme: string, rules: readonly Rule[]])[] = [
  ['Form', FORM_RULES],
  ['Images', IMAGE_RULES],
  ['Resources', RESOURCE_RULES],
  ['Probes', PROBE_RULES],
  ['Updates and disruptions', ROLLOUT_RULES],
  ['Scaling', SCALING_RULES],
  ['Selectors', SELECTOR_RULES],
  ['Network', NETWORK_RULES],
  ['Mesh', MESH_RULES],
  ['Delivery', DELIVERY_RULES],
  ['Nodes and devices', NODE_RULES],
  ['Pod security', POD_SECURITY_RULES],
  ['Secrets', SECRET_RULES],
  ['Identity', IDENTITY_RULES],
  ['Falco', FALCO_RULES],
]

export const RULES: readonly Rule[] = RULE_THEMES.flatMap(([, rules]) => rules)
