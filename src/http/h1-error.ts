// What can be wrong with HTTP/1 bytes: the answer, Envoy's response code details, and what Envoy's debug log says.
import type { CodecError } from './codec.ts';

const error = (status: number, details: string, problem: string): CodecError => ({
  status,
  details,
  message: `http/1.1 protocol error: ${problem}`,
});

export const h1Errors = {
  codec: error(400, 'http1.codec_error', 'malformed message'),
  invalidMethod: error(400, 'http1.codec_error', 'HPE_INVALID_METHOD'),
  invalidTarget: error(400, 'http1.codec_error', 'HPE_INVALID_URL'),
  invalidVersion: error(400, 'http1.codec_error', 'HPE_INVALID_VERSION'),
  invalidStatus: error(400, 'http1.codec_error', 'HPE_INVALID_STATUS'),
  invalidContentLength: error(400, 'http1.codec_error', 'UNPARSABLE_CONTENT_LENGTH'),
  repeatedContentLength: error(400, 'http1.codec_error', 'MULTIPLE_CONTENT_LENGTH_KEYS'),
  invalidChunkSize: error(400, 'http1.codec_error', 'HPE_INVALID_CHUNK_SIZE'),
  invalidChunkExtension: error(400, 'http1.codec_error', 'INVALID_CHUNK_EXTENSION'),
  unexpectedEnd: error(400, 'http1.codec_error', 'HPE_INVALID_EOF_STATE'),
  invalidCharacters: error(400, 'http1.invalid_characters', 'header value contains invalid chars'),
  headersTooLarge: error(431, 'http1.headers_too_large', 'headers size exceeds limit'),
  tooManyHeaders: error(431, 'http1.too_many_headers', 'headers count exceeds limit'),
  underscore: error(400, 'http1.unexpected_underscore', 'header name contains underscores'),
  lengthAndChunked: error(
    400,
    'http1.content_length_and_chunked_not_allowed',
    "both 'Content-Length' and 'Transfer-Encoding' are set.",
  ),
  transferEncoding: error(501, 'http1.invalid_transfer_encoding', 'unsupported transfer encoding'),
  transferEncodingNotAllowed: error(
    400,
    'http1.transfer_encoding_not_allowed',
    'transfer encoding not allowed in 1xx or 204',
  ),
  contentLengthNotAllowed: error(
    400,
    'http1.content_length_not_allowed',
    'content length not allowed in 1xx or 204',
  ),
  bodyDisallowed: error(400, 'http1.body_disallowed', 'unsupported content length'),
  connectionHeader: error(
    400,
    'http1.connection_header_rejected',
    'Invalid nominated headers in Connection.',
  ),
  invalidUrl: error(400, 'http1.invalid_url', 'invalid url in request line'),
  invalidScheme: error(400, 'http1.invalid_scheme', 'invalid scheme'),
  httpsInPlaintext: error(403, 'http1.https_url_on_plaintext_connection', 'https in the clear'),
  lowVersion: error(426, 'low_version', 'Upgrade required for HTTP/1.0 or HTTP/0.9'),
  invalidAuthority: error(400, 'http.invalid_authority', 'request headers failed spec compliance checks'),
  prematureResponse: error(0, '', 'premature response'),
  extraneousData: error(0, '', 'extraneous data after response complete'),
} as const satisfies Record<string, CodecError>;
