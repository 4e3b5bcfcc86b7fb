#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

struct Circle : Shape {
    double radius;
    explicit Circle(double radius) : radius(radius) {}
    double area() const override { return M_PI * radius * radius; }
};

static const std::string greeting = "constructed before main";

int main(int argc, char **argv) {
    std::vector<std::unique_ptr<Shape>> shapes;
    shapes.push_back(std::make_unique<Circle>(2));
    std::map<std::string, int> lengths;
    for (std::string word; std::cin >> word;)
        lengths[word] = int(word.size());
    std::function<int(int)> twice = [](int value) { return 2 * value; };
    std::cout << greeting << ' ' << shapes[0]->area() << ' ' << twice(argc) << '\n';
    for (auto &[word, length] : lengths)
        std::cout << word << '=' << length << '\n';
    return argc;
}
