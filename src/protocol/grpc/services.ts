/** Every service of the port of gRPC. */
import { healthService } from './health-service.ts'
import { inferenceService } from './inference/inference-service.ts'
import { reflectionServices } from './reflection-service.ts'
import type { HealthHost } from './health-service.ts'
import type { InferenceHost } from './inference/inference-service.ts'
import type { GrpcService } from './methods.ts'

export function grpcServices(host: InferenceHost & HealthHost): GrpcService[] {
  const inference = inferenceService(host)
  const services = [inference, healthService(host, [inference])]
  return [...services, ...reflectionServices(services)]
}
