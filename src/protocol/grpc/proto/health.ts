import { schemaOf } from './schema.ts'

/** The health checks of gRPC (grpc/health/v1). */
export const HEALTH = schemaOf(
  'grpc/health/v1/health.proto',
  'grpc.health.v1',
  `
service Health
  Check HealthCheckRequest HealthCheckResponse
  List HealthListRequest HealthListResponse
  Watch HealthCheckRequest stream HealthCheckResponse
message HealthCheckRequest
  1 service string
message HealthCheckResponse
  1 status HealthCheckResponse.ServingStatus
enum HealthCheckResponse.ServingStatus
  0 UNKNOWN
  1 SERVING
  2 NOT_SERVING
  3 SERVICE_UNKNOWN
message HealthListRequest
message HealthListResponse
  1 statuses map string HealthCheckResponse
`,
)
