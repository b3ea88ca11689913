import { has, isSet, lineOf, numberOf, partOf, partsOf, textOf, textsOf } from './message.ts'
import { parametersOf, THREADS } from './scheduling.ts'
import type { Message } from './text-format.ts'

/**
 * What a configuration says that changes no answer and has no effect here, for people: how ONNX Runtime is tuned, GPUs, Triton's own
 * metrics. @returns undefined where it says nothing of the kind
 */
export function remarksOf(message: Message, source: string): string | undefined {
  const told: { readonly line: number; readonly what: string }[] = []
  const tell = (from: Message, field: string, what: string): void => {
    if (has(from, field)) told.push({ line: lineOf(from, field), what: `${field}: ${what}` })
  }
  for (const [key, { line }] of parametersOf(message))
    if (key !== THREADS) told.push({ line, what: `parameters: ${key}: ${PARAMETERS[key] ?? 'no parameter that is known here'}` })
  const optimization = partOf(message, 'optimization')
  if (optimization !== undefined) tellOptimization(optimization, tell)
  tell(message, 'cc_model_filenames', 'files for GPUs are not chosen here')
  tell(message, 'metric_tags', 'metrics have the labels that docs/reference/metrics.md lists')
  tell(message, 'model_metrics', 'histograms have the bounds that docs/reference/metrics.md lists')
  for (const group of partsOf(message, 'instance_group')) {
    tell(group, 'rate_limiter', 'instances take what waits as soon as they are free')
    tell(group, 'host_policy', 'no policies of hosts are set here')
  }
  const ensemble = partOf(message, 'ensemble_scheduling')
  if (ensemble !== undefined && numberOf(ensemble, 'max_inflight_requests') > 0)
    tell(ensemble, 'max_inflight_requests', 'each step has a queue of its own, with its own limits')
  if (told.length === 0) return undefined
  const lines = told.toSorted((a, b) => a.line - b.line).map(({ line, what }) => `line ${line}, ${what}`)
  return `${source}: what has no effect here: ${lines.join('; ')}`
}

function tellOptimization(optimization: Message, tell: (from: Message, field: string, what: string) => void): void {
  const graph = partOf(optimization, 'graph')
  if (graph !== undefined && numberOf(graph, 'level') !== 0) tell(graph, 'level', 'graphs are optimised as far as ONNX Runtime can')
  if (textOf(optimization, 'priority') !== 'PRIORITY_DEFAULT') tell(optimization, 'priority', 'models share the cores alike')
  tell(optimization, 'cuda', 'models run on the CPU')
  tell(optimization, 'input_pinned_memory', 'models run on the CPU')
  tell(optimization, 'output_pinned_memory', 'models run on the CPU')
  tell(optimization, 'gather_kernel_buffer_threshold', 'models run on the CPU')
  if (isSet(optimization, 'eager_batching')) tell(optimization, 'eager_batching', 'a batch is formed when an instance is free')
  const accelerators = partOf(optimization, 'execution_accelerators')
  if (accelerators === undefined) return
  for (const field of ['gpu_execution_accelerator', 'cpu_execution_accelerator']) {
    const names = partsOf(accelerators, field).flatMap((each) => textsOf(each, 'name'))
    tell(accelerators, field, `${names.join(', ')}: models run in the CPU provider of ONNX Runtime`)
  }
}

/** Parameters of Triton's backend for ONNX Runtime. */
const PARAMETERS: Readonly<Record<string, string>> = {
  inter_op_thread_count: 'operators of a run go one after the other',
  execution_mode: 'operators of a run go one after the other',
  enable_mem_arena: 'memory is kept for the next run',
  enable_mem_pattern: 'patterns of memory are not kept, as they stay for every shape',
  'memory.enable_memory_arena_shrinkage': 'an instance that large runs have left much memory in is opened anew',
  'session.use_device_allocator_for_initializers': 'weights lie in the memory of the runtime',
  gpu_mem_limit: 'models run on the CPU',
  arena_extend_strategy: 'models run on the CPU',
  cudnn_conv_algo_search: 'models run on the CPU',
  cudnn_conv_use_max_workspace: 'models run on the CPU',
}
