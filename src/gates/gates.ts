/**
 * Gates says whether a version may get traffic: answers of models for rows with a known truth in, results with numbers and a sentence out. It reads
 * no file and runs no model; whoever does (cli/gate) hands over what came of it. Nothing here passes for lack of data.
 */
export { judgeBaseline } from './checks/baseline.ts'
export { judgeCalibration } from './checks/calibration.ts'
export { judgeComparison } from './checks/comparison.ts'
export { judgeContract } from './checks/contract.ts'
export { judgeDirection, judgeInvariance } from './checks/behaviour.ts'
export { judgeGap } from './checks/gap.ts'
export { judgeLatency, judgeMemory } from './checks/budgets.ts'
export { judgeMetric, judgeSlices } from './checks/metrics.ts'
export { judgeApproval, judgeGolden, judgeLoad, judgeRows } from './checks/version.ts'
export { perturbForDirection, perturbForInvariance } from './perturb.ts'
export { planOf } from './plan.ts'
export type { Plan } from './plan.ts'
export type { Perturbed } from './perturb.ts'
export type { Row, Sample, Scores } from './sample.ts'
