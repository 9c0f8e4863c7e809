#!/bin/sh
# Makes the certificates that TLS tests use. Run in this folder, once: what it makes is committed and lasts until 2126.
set -e
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1-key.pem"; }
root() {
  key "$1"
  openssl req -x509 -new -key "$1-key.pem" -days 36500 -subj "$2" -out "$1.pem" \
    -addext 'keyUsage=critical,keyCertSign,cRLSign'
}
# sign NAME SUBJECT EXTENSIONS CA SERIAL [START END]: the key is there already
sign() {
  : > index.txt
  echo "$5" > serial
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n' > config
  printf 'unique_subject=no\n[p]\ncountryName=optional\norganizationName=optional\ncommonName=supplied\n[x]\n%b\n' "$3" >> config
  openssl req -new -key "$1-key.pem" -subj "$2" -out request
  openssl ca -batch -notext -preserveDN -config config -extensions x -in request -cert "$4.pem" -keyfile "$4-key.pem" \
    -startdate "${6:-20260101000000Z}" -enddate "${7:-21260101000000Z}" -out "$1.pem" 2>/dev/null
}
uri='keyUsage=critical,digitalSignature\nsubjectAltName=URI:spiffe://example.com/client'
root ca '/CN=Test CA'
root other-ca '/CN=Other CA'
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out server-rsa-key.pem
key server-ec
key wildcard
for name in client expired other revoked intermediate under-intermediate; do key $name; done
sign server-rsa /CN=a.example.com 'subjectAltName=DNS:a.example.com,DNS:localhost,IP:127.0.0.1,URI:spiffe://example.com/server' ca 11
sign server-ec /CN=a.example.com subjectAltName=DNS:a.example.com ca 12
sign wildcard /CN=b.example.com 'subjectAltName=DNS:*.b.example.com,DNS:c.example.com' ca 13
sign client /C=DE/O=Test/CN=client "$uri,DNS:client.example.com,email:client@example.com,IP:10.0.0.1" ca 21
sign expired /CN=expired "$uri" ca 22 20200101000000Z 20210101000000Z
sign other /CN=client "$uri" other-ca 23
sign intermediate '/CN=Intermediate CA' 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign' ca 31
sign under-intermediate /CN=client subjectAltName=URI:spiffe://example.com/client intermediate 32
cat intermediate.pem >> under-intermediate.pem
sign revoked /CN=revoked "$uri" ca 24
openssl ca -config config -cert ca.pem -keyfile ca-key.pem -revoke revoked.pem 2>/dev/null
openssl ca -config config -cert ca.pem -keyfile ca-key.pem -gencrl -crldays 36500 -out ca-crl.pem 2>/dev/null
key key-agreement
openssl req -x509 -new -key key-agreement-key.pem -days 36500 -subj /CN=key-agreement -out key-agreement.pem -addext keyUsage=critical,keyAgreement
key other-name
openssl req -x509 -new -key other-name-key.pem -days 36500 -subj /CN=other-name -out other-name.pem -addext keyUsage=critical,digitalSignature \
  -addext 'subjectAltName=DNS:x.example.com,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:user@example.com,otherName:1.2.3.4;INTEGER:258,otherName:1.2.3.4;BOOLEAN:TRUE'
openssl pkcs8 -topk8 -in server-ec-key.pem -out server-ec-encrypted-key.pem -passout pass:secret
openssl pkcs12 -export -inkey server-ec-key.pem -in server-ec.pem -passout pass:secret -out server-ec.p12
# staple NAME LIFETIME: an OCSP response for server-rsa. Servers do not look at its signature.
staple() {
  printf 'V\t361231235959Z\t\t%s\tunknown\t/CN=x\n' "$(openssl x509 -in server-rsa.pem -noout -serial | cut -d= -f2)" > responses
  openssl ocsp -issuer ca.pem -cert server-rsa.pem -reqout request 2>/dev/null
  openssl ocsp -index responses -rsigner server-ec.pem -rkey server-ec-key.pem -CA ca.pem -reqin request -respout "$1" $2 >/dev/null 2>&1
}
staple server-rsa-ocsp.der '-ndays 36500'
staple server-rsa-ocsp-expired.der '-nmin 1'
rm -f responses request config index.txt* serial* [0-9]*.pem other-ca-key.pem intermediate-key.pem ca-key.pem
