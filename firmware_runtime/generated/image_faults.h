/* Made by mcutool/generate.py from mcutool/image/faults.py; do not edit.
 *
 * The loader gives the name only: the texts lie in the flash of who reports them. */
#ifndef IMAGE_FAULTS_H
#define IMAGE_FAULTS_H

#ifdef SIGNATURE_KEY
#define IMAGE_SIGNATURE_FAULTS(X) \
    X(UNSIGNED, "the image is not signed; sign it with: mcutool sign") \
    X(OWNER, "the image is signed with another key than this firmware's") \
    X(SIGNATURE, "the image's signature is wrong") \
    X(OLDER, "the image is older than one that was confirmed; sign it with a higher --counter")
#else
#define IMAGE_SIGNATURE_FAULTS(X)
#endif

#define IMAGE_FAULTS(X) \
    X(ABSENT, "there is no image") \
    X(UNHASHED, "the image has no hash") \
    X(ALTERED, "the image is damaged: its hash is wrong") \
    X(FOREIGN, "the image does not hold a module for mcutool") \
    X(FORMAT, "the image has another format than this firmware reads; build it with a mcutool of this version") \
    X(NEWER, "the image needs a newer firmware; install it with: mcutool flash --runtime") \
    X(FEATURE, "the image uses a part of WebAssembly that this firmware was built without") \
    X(SIZE, "the image is damaged: its size is wrong") \
    X(SECTION, "the image is damaged: a section lies outside it") \
    X(NAMES, "the image is damaged: its names do not end") \
    X(PROVENANCE, "the image is damaged: it has no provenance") \
    X(SEGMENT, "the image is damaged: a segment lies outside it") \
    X(FUNCTION, "the image is damaged: a function lies outside it") \
    X(MODULE, "the image is damaged: a module names what it does not have") \
    X(HANDLER, "the image is damaged: its exception handlers are wrong") \
    X(MEMORY, "the image is damaged: a memory is backed where it does not reach") \
    X(IMPORT, "the module imports a function that this firmware does not have") \
    X(IMPORT_TYPE, "the module imports a function with another type than this firmware gives it") \
    X(UNGRANTED, "the module imports a function that it is not granted") \
    X(CODE, "the image is damaged: its code does not begin as it must") \
    X(EXTENT, "invalid code: a function does not begin where the one before it ends") \
    X(ILLEGAL, "invalid code: no such instruction") \
    X(UNANNOUNCED, "invalid code: an instruction of a part that the image does not announce") \
    X(CUT, "invalid code: an instruction is cut off") \
    X(RUNS_OUT, "invalid code: it runs out of a function") \
    X(SLOT, "invalid code: a slot outside the frame") \
    X(BRANCH, "invalid code: a branch to where no instruction of the function begins") \
    X(CALL, "invalid code: a call with its frame or values in the wrong place") \
    X(INDEX, "invalid code: it names what is not there") \
    X(CATCH, "invalid code: an exception handler does not fit the function") \
    X(RAM, "the module needs more RAM than this board has; build it with smaller --memory, --heap or --stack") \
    IMAGE_SIGNATURE_FAULTS(X)

#endif
