# fer_kernel_library(name a.cu b.cu): the static libraries name_cuda, name_emulated and name_instrumented, as far as
# this machine can build them. Each brings what is needed to use it: link one of them and include the contracts.
#
# Contraction: nvcc may fuse a * b + c into one rounding, which is worth keeping; g++ is told not to. So the two devices
# agree to a tolerance, not bit for bit, except where every intermediate result is exact (small integers), or where a
# kernel says what it means: fmaf(a, b, c) is one rounding on both, __fadd_rn(__fmul_rn(a, b), c) two.
function(fer_kernel_library name)
  if(FER_HAVE_EMULATED)
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX)  # and so passed on with -x c++
    add_library(${name}_emulated STATIC ${ARGN})
    target_link_libraries(${name}_emulated PUBLIC fer_emulator)
    # -g2 for the lines in reports; no tail calls, which would make a barrier look like a call of the caller.
    target_compile_options(${name}_emulated PRIVATE -g2 -ffp-contract=off -fno-optimize-sibling-calls
                           -Wno-unknown-pragmas)  # #pragma unroll
  endif()
  if(FER_HAVE_INSTRUMENTED)
    add_library(${name}_instrumented STATIC ${ARGN})
    target_link_libraries(${name}_instrumented PUBLIC fer_emulator)
    # ThreadSanitizer's instrumentation, answered by emulator/tsan.cpp: its own runtime is not linked. At -O1 there is
    # no vectorizer to merge accesses that the kernel makes one by one.
    target_compile_options(${name}_instrumented PRIVATE -O1 -g2 -ffp-contract=off -fno-optimize-sibling-calls
      -fsanitize=thread --param=tsan-instrument-func-entry-exit=0 -Wno-tsan -Wno-unknown-pragmas)
  endif()
  if(FER_HAVE_CUDA)
    fer_compile_cuda(objects ${name} ${ARGN})
    add_library(${name}_cuda STATIC ${objects})
    set_target_properties(${name}_cuda PROPERTIES LINKER_LANGUAGE CXX)
    target_link_libraries(${name}_cuda PUBLIC fer_port_cuda)
  endif()
endfunction()

# nvcc by hand rather than as a CMake language: the language would have to be enabled for everything that links the
# result, and what ptxas says about registers and spills is wanted in a file (<object>.ptxas.txt).
function(fer_compile_cuda result name)
  set(flags -std=c++20 -O3 -lineinfo --expt-relaxed-constexpr -Werror=cross-execution-space-call
            -Xptxas=-v,--warn-on-spills -Xcompiler=-Wall,-Wextra,-Werror,-fPIE -I${PROJECT_SOURCE_DIR})
  foreach(arch ${FER_CUDA_ARCHS})
    if(arch MATCHES "a$")  # instructions of one generation only: nothing later can run it
      list(APPEND flags -gencode=arch=compute_${arch},code=sm_${arch})
    else()
      list(APPEND flags "-gencode=arch=compute_${arch},code=[sm_${arch},compute_${arch}]")
    endif()
  endforeach()
  if(FER_CHECKED)
    list(APPEND flags -DFER_CHECKED=1)
  endif()
  set(compile ${CMAKE_CXX_COMPILER_LAUNCHER} ${CUDAToolkit_NVCC_EXECUTABLE} -ccbin=${CMAKE_CXX_COMPILER} ${flags} -MD)
  set(objects)
  foreach(source ${ARGN})
    cmake_path(GET source STEM stem)
    cmake_path(ABSOLUTE_PATH source)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}_cuda.dir/${stem}.o)
    add_custom_command(
      OUTPUT ${object}
      BYPRODUCTS ${object}.ptxas.txt
      COMMAND ${CMAKE_COMMAND} -DOBJECT=${object} "-DCOMPILE=${compile};-MF;${object}.d;-c;${source};-o;${object}"
              -P ${PROJECT_SOURCE_DIR}/kernels/compile_cuda.cmake
      DEPENDS ${source} ${PROJECT_SOURCE_DIR}/kernels/compile_cuda.cmake
      DEPFILE ${object}.d
      COMMENT "nvcc ${stem}.cu"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${result} ${objects} PARENT_SCOPE)
endfunction()
