#pragma once
/// \file Layers for cells: normed linear maps and convolutions, dropout that is fixed during a solve.

#include "zstar/nn/dropout.hpp"
#include "zstar/nn/choose.hpp"
#include "zstar/nn/freeze.hpp"
#include "zstar/nn/normed.hpp"
