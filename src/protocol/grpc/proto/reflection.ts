import { schemaOf } from './schema.ts'
import type { Schema } from './schema.ts'

/** Server reflection of gRPC: its two versions differ in nothing but their package. */
function reflection(version: 'v1' | 'v1alpha'): Schema {
  return schemaOf(
    `grpc/reflection/${version}/reflection.proto`,
    `grpc.reflection.${version}`,
    `
service ServerReflection
  ServerReflectionInfo stream ServerReflectionRequest stream ServerReflectionResponse
message ServerReflectionRequest
  1 host string
  3 file_by_filename string of message_request
  4 file_containing_symbol string of message_request
  5 file_containing_extension ExtensionRequest of message_request
  6 all_extension_numbers_of_type string of message_request
  7 list_services string of message_request
message ExtensionRequest
  1 containing_type string
  2 extension_number int32
message ServerReflectionResponse
  1 valid_host string
  2 original_request ServerReflectionRequest
  4 file_descriptor_response FileDescriptorResponse of message_response
  5 all_extension_numbers_response ExtensionNumberResponse of message_response
  6 list_services_response ListServiceResponse of message_response
  7 error_response ErrorResponse of message_response
message FileDescriptorResponse
  1 file_descriptor_proto repeated bytes
message ExtensionNumberResponse
  1 base_type_name string
  2 extension_number repeated int32
message ListServiceResponse
  1 service repeated ServiceResponse
message ServiceResponse
  1 name string
message ErrorResponse
  1 error_code int32
  2 error_message string
`,
  )
}

export const REFLECTION: readonly Schema[] = [reflection('v1'), reflection('v1alpha')]
