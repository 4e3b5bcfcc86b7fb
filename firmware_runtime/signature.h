/* Whether the owner of a key signed a digest: Ed25519 (RFC 8032), in a firmware that was built with a public key. */

#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#define SIGNATURE_SIZE 64

/* Bytes of idle RAM, eight-byte aligned, that checking takes as its C stack, interrupts that come meanwhile included:
 * stack.py proves it. */
#define SIGNATURE_STACK 2048u

/* SHA-256 of the public key as DER, by which an image says whose signature it carries. */
extern const uint8_t signature_key_hash[];

bool signature_check(const uint8_t *signature, const uint8_t *digest, uint8_t *stack);

#endif
