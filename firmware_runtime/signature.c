/* See signature.h. The arithmetic is Monocypher's, SHA-512 is LibTomCrypt's: build.py fetches both for a firmware with a
 * key, and gives the key. This file decides what is hashed and on which stack; it refuses to know images. */

#include "signature.h"

#include <monocypher.h>
#include <sha512.h>

#define DIGEST_SIZE 32u

static const uint8_t key[] = SIGNATURE_KEY;
const uint8_t signature_key_hash[] = SIGNATURE_KEY_HASH;

/* Of the first half of the signature, the key and what was signed; its variables are gone when the curve's come. */
static __attribute__((noinline)) void hash(uint8_t *result, const uint8_t *signature, const uint8_t *digest) {
    uint8_t whole[SIGNATURE_SIZE];
    sha512_context work;
    sha512_init(&work);
    sha512_update(&work, signature, SIGNATURE_SIZE / 2);
    sha512_update(&work, key, sizeof key);
    sha512_update(&work, digest, DIGEST_SIZE);
    sha512_final(&work, whole);
    crypto_eddsa_reduce(result, whole);
}

/* Called by name in the assembly below. */
__attribute__((used)) static bool signature_holds(const uint8_t *signature, const uint8_t *digest) {
    uint8_t reduced[32];
    hash(reduced, signature, digest);
    return crypto_eddsa_check_equation(signature, key, reduced) == 0;
}

/* The C stack has no room for it: another one is used meanwhile, also by interrupts. */
bool signature_on_stack(const uint8_t *signature, const uint8_t *digest, uint8_t *top);

__asm(".section .text.signature_on_stack, \"ax\", %progbits\n"
      ".syntax unified\n"
      ".thumb_func\n"
      ".type signature_on_stack, %function\n"
      "signature_on_stack:\n\t"
      "push {r4, lr}\n\t"
      "mov r4, sp\n\t"
      "mov sp, r2\n\t"
      "bl signature_holds\n\t"
      "mov sp, r4\n\t"
      "pop {r4, pc}\n"
      ".size signature_on_stack, . - signature_on_stack\n"
      ".text");

bool signature_check(const uint8_t *signature, const uint8_t *digest, uint8_t *stack) {
    return signature_on_stack(signature, digest, stack + SIGNATURE_STACK);
}
