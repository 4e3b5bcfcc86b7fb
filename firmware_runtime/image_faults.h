/* What can be wrong with an image, and what a person is told about it.
 *
 * The loader gives the name only: the texts lie in the flash of who reports them. This file refuses to know how either
 * is found out or told. */
#ifndef IMAGE_FAULTS_H
#define IMAGE_FAULTS_H

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
    X(SEGMENT, "the image is damaged: a segment lies outside it") \
    X(FUNCTION, "the image is damaged: a function lies outside it") \
    X(MODULE, "the image is damaged: a module names what it does not have") \
    X(HANDLER, "the image is damaged: its exception handlers are wrong") \
    X(MEMORY, "the image is damaged: a memory is backed where it does not reach") \
    X(IMPORT, "the module imports a function that this firmware does not have") \
    X(IMPORT_TYPE, "the module imports a function with another type than this firmware gives it") \
    X(CODE, "the image is damaged: its code does not begin as it must") \
    X(RAM, "the module needs more RAM than this board has; build it with smaller --memory, --heap or --stack")

#endif
