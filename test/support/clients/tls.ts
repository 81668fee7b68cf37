import type { Test } from 'tap'
import { setEnv } from '../run/env.ts'

/** For 127.0.0.1 and made for the tests alone. */
export const TLS = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg09XbsNej4Tvzo+Yw
jBCvW83M1wIHAXSA7e76j00tYsuhRANCAAQ1y/RKDLBGwdiJbet0j6P5RKtKy+sP
bA8NcxGb78foMGIohNht/VErNCV/+iVPvbgWORrvUOii7WkNgJFG/+am
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUBtoZcILgHddFBkh4puPEj7Ieu08wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIwNTQyNloYDzIxMjYxMDMw
MjA1NDI2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQ1y/RKDLBGwdiJbet0j6P5RKtKy+sPbA8NcxGb78foMGIohNht/VEr
NCV/+iVPvbgWORrvUOii7WkNgJFG/+amo28wbTAdBgNVHQ4EFgQUfSyFLvzG6G19
SysPk0eD+QVV+4gwHwYDVR0jBBgwFoAUfSyFLvzG6G19SysPk0eD+QVV+4gwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAIisWf0rA/d8BEckz4c8d8X7nRIJjg3OyB0JfyLsA827AiEA
x1PN7g4X3NvHrNa+MImKq7BIKplqqi1o7zHXzxxp7bg=
-----END CERTIFICATE-----
`,
}

/** The same, accepted by all clients of this process until the test is over. */
export function acceptedTls (t: Test): typeof TLS {
  setEnv(t, { NODE_TLS_REJECT_UNAUTHORIZED: '0' })
  return TLS
}
